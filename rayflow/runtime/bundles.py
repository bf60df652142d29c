"""Bundles: short attempts that are ready share a worker, whose place in the cluster is asked for once.

A bundle is a Ray task that runs attempts one after the other, as they are sent to it over its line
(:mod:`rayflow.runtime.exchange`). What an attempt does next in a chain comes to the bundle that is there
already, when the checkpoint before it is durable. How many attempts wait in a bundle follows from how long
those of the same code have taken: an attempt that is not known to be short, or turns out to be long, has
its worker for itself. When a worker dies the attempt that ran has failed; the others have not begun.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from rayflow.core.outcomes import RETURNED, Outcome
from rayflow.runtime.bundle_worker import UNREACHED, Message
from rayflow.runtime.exchange import Address, Peer
from rayflow.runtime.recalling import Recall
from rayflow.runtime.submitter import Handle, RaySubmitter, refused
from rayflow.runtime.worker import TaskCall

logger = logging.getLogger("rayflow.engine")

SHARE_SECONDS = 0.02  # of work that may wait in a bundle
MOST_CALLS = 100
LINGER_SECONDS = 0.05  # how long a bundle waits for work
LONGEST_SECONDS = 1.0  # then others may have its place in the cluster
LEAVE_SECONDS = 5.0  # how long the last words of a bundle may take
KILL_SECONDS = 1.0  # how long a worker may take to heed
PATIENCE_SECONDS = 5.0  # when a request that has not been met is looked at again
MOST_PACES = 10_000

_SHARED_OPTIONS = {"num_cpus", "runtime_env"}


@dataclass(slots=True, eq=False)
class _Call(Handle):
    """An attempt, as its own handle. ``number``: its name on the line."""

    call: TaskCall = None  # type: ignore[assignment]
    pool: _Pool = None  # type: ignore[assignment]
    number: int = 0
    bundle: _Bundle | None = None
    alone: Handle | None = None  # when it is a Ray task of its own after all
    first: _Call | None = None  # of a chain
    followers: list[_Call] = field(default_factory=list)  # of the first of a chain, in order


@dataclass(slots=True, eq=False)
class _Bundle:
    """A worker, or the request for one. ``calls``: those that it has, in order. ``load``: in seconds."""

    number: int
    pool: _Pool
    handle: Handle
    began: float
    peer: Peer | None = None
    calls: dict[int, _Call] = field(default_factory=dict)
    load: float = 0.0
    running: int = 0  # which call has begun last
    is_slow: bool = False
    is_over: bool = False
    leaves: asyncio.TimerHandle | None = None
    left: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True, eq=False)
class _Pool:
    """Attempts with the same options of Ray, and the bundles for them."""

    key: str
    options: dict[str, Any]
    queue: deque[_Call] = field(default_factory=deque)
    bundles: dict[int, _Bundle] = field(default_factory=dict)
    requested: int = 0  # bundles that have not arrived
    is_due: bool = False


class Bundles:
    """Runs short attempts in bundles, and all others as the submitter beneath it does."""

    least = 3  # a relay has to be opened for those that follow

    def __init__(self, submitter: RaySubmitter, recall: Recall | None) -> None:
        """``recall``: reads relays, where the storage has such; attempts can follow others only there."""
        self._submitter, self._recall = submitter, recall
        self._address: Address | None = None
        self._pools: dict[str, _Pool] = {}
        self._bundles: dict[int, _Bundle] = {}
        self._calls: dict[int, _Call] = {}  # those in bundles
        self._paces: dict[str, float] = {}  # seconds that attempts take, by their code
        self._numbers = itertools.count(1)
        self._watches: set[asyncio.Task[None]] = set()
        self.most = 32

    def open(self, address: Address) -> None:
        """There is a line for bundles now."""
        self._address = address

    def submit(
        self, call: TaskCall, options: dict[str, Any], refs: list[tuple[int, Any]]
    ) -> Handle:
        """Start an attempt. Raises ValueError or TypeError if ``options`` make no sense."""
        if self._address is None or refs or not call.may_share or not _is_shared(options):
            return self._submitter.submit(call, options, refs)
        key = json.dumps(options, sort_keys=True)
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = _Pool(key, options)
        outcome = asyncio.get_running_loop().create_future()
        new = _Call(outcome, None, options.get("runtime_env"), call, pool, next(self._numbers))
        pool.queue.append(new)
        self._serve_soon(pool)
        return new

    def is_short(self, code: str) -> bool:
        """Whether attempts of this code are known to be short."""
        return self._recall is not None and self._paces.get(code, SHARE_SECONDS) < SHARE_SECONDS

    def follow(self, before: Handle, call: TaskCall) -> Handle | None:
        """Start an attempt behind another one, which has just been submitted, in its worker."""
        if not isinstance(before, _Call) or before.bundle is not None:
            return None
        first = before.first or before
        outcome = asyncio.get_running_loop().create_future()
        number = next(self._numbers)
        new = _Call(outcome, None, before.runtime_env, call, before.pool, number, first=first)
        first.followers.append(new)
        return new

    def store(self, call: TaskCall, outcome: Outcome, handle: Handle) -> Handle:
        """Start storing the value that an attempt has left in memory; its outcome says where it is."""
        return self._submitter.store(call, outcome, handle)

    async def outcome(self, handle: Handle) -> Outcome:
        """What became of it. Never raises."""
        if isinstance(handle, _Call):
            outcome: Outcome = await handle.outcome
            return outcome
        return await self._submitter.outcome(handle)

    def stop(self, handle: Handle, *, force: bool) -> None:
        """Ask it to stop, or end its process; its outcome says what has become of it."""
        if not isinstance(handle, _Call):
            self._submitter.stop(handle, force=force)
        elif handle.alone is not None:
            self._submitter.stop(handle.alone, force=force)
        elif handle.bundle is None:
            if handle in handle.pool.queue:
                handle.pool.queue.remove(handle)
                _settle(handle, Outcome("stopped"))
                _return(handle.followers)
            elif handle.first is not None and handle in handle.first.followers:
                handle.first.followers.remove(handle)
                _settle(handle, Outcome("stopped"))
        elif handle.bundle.peer is not None:
            handle.bundle.peer.send(
                ("kill" if force else "stop", handle.bundle.number, handle.number)
            )
            if force:
                loop = asyncio.get_running_loop()
                loop.call_later(KILL_SECONDS, self._kill, handle)

    async def destroy(self, place: Any) -> None:
        """Make sure that a process that has announced an attempt is gone; return when it is."""
        await self._submitter.destroy(place)

    def heard(self, peer: Peer, message: Message) -> None:
        """A worker says something about its bundle."""
        what, number, more = message
        bundle = self._bundles.get(number)
        if bundle is None:
            return
        match what:
            case "here":
                self._arrived(bundle, peer)
            case "ended":
                for which, outcome in more:
                    self._ended(bundle, which, outcome)
            case "slow":
                bundle.is_slow = True
                waiting = [bundle.calls[n] for n in more if n in bundle.calls]  # and not stopped
                for call in reversed(waiting):
                    self._take_back(bundle, call)
            case "doomed":
                bundle.is_over = True
                self._submitter.stop(bundle.handle, force=True)
            case "left":
                bundle.left.set()
                return
        self._serve_soon(bundle.pool)

    def _arrived(self, bundle: _Bundle, peer: Peer) -> None:
        bundle.peer, bundle.began = peer, asyncio.get_running_loop().time()
        bundle.pool.requested -= 1
        if bundle.is_over:  # nothing waits for it any more
            peer.send(("end", bundle.number, None))

    def signed(self, peer: Peer, number: int) -> None:
        """A worker begins an attempt."""
        call = self._calls.get(number)
        if call is not None and call.bundle is not None:
            call.bundle.running = number

    def hung_up(self, peer: Peer) -> None:
        """A line is gone; the end of the Ray task says what has become of its bundle."""
        for bundle in self._bundles.values():
            if bundle.peer is peer:
                bundle.is_over = True
                bundle.left.set()

    def _ended(self, bundle: _Bundle, which: int, outcome: Outcome) -> None:
        call = bundle.calls.pop(which, None)
        if call is None:
            return
        del self._calls[which]
        bundle.is_slow = False
        bundle.load = max(0.0, bundle.load - self._expected(call)) if bundle.calls else 0.0
        begun, ended = outcome.detail.get("started_at"), outcome.detail.get("finished_at")
        if begun is not None and ended is not None:
            self._note(call.call.function, ended - begun)
        _settle(call, outcome)

    def _note(self, code: str, seconds: float) -> None:
        """An attempt has taken so long. A shorter one is believed at once, a longer one by and by."""
        if len(self._paces) > MOST_PACES:
            self._paces.clear()
        before = self._paces.get(code, seconds)
        self._paces[code] = seconds if seconds < before else 0.7 * before + 0.3 * seconds

    def _take_back(self, bundle: _Bundle, call: _Call) -> None:
        del bundle.calls[call.number], self._calls[call.number]
        call.bundle = None
        if call.first is None:
            call.followers = []
            bundle.pool.queue.appendleft(call)
        else:
            _settle(call, RETURNED)

    def _serve_soon(self, pool: _Pool) -> None:
        """When all that arrives in one go is there."""
        if not pool.is_due:
            pool.is_due = True
            asyncio.get_running_loop().call_soon(self._serve, pool)

    def _serve(self, pool: _Pool) -> None:
        """Send what waits to the bundles that have room, and ask for more of these."""
        pool.is_due = False
        now = asyncio.get_running_loop().time()
        bundles = pool.bundles.values()
        at_hand = [b for b in bundles if b.peer is not None and not b.is_over and not b.is_slow]
        for bundle in sorted(at_hand, key=lambda bundle: bundle.load):
            if now - bundle.began > LONGEST_SECONDS and not bundle.calls:
                self._end(bundle)
            else:
                self._fill(bundle, 1 + len(pool.queue) // len(at_hand))
                self._let_linger(bundle)
        self._request(pool)

    def _fill(self, bundle: _Bundle, share: int) -> None:
        calls: list[_Call] = []
        queue = bundle.pool.queue
        may_have_more = asyncio.get_running_loop().time() - bundle.began < LONGEST_SECONDS
        if bundle.load > SHARE_SECONDS / 2:  # it is filled seldom, then by many
            return
        while queue and len(calls) < share and may_have_more:
            expected = self._expected(queue[0])
            is_free = not bundle.calls
            has_room = bundle.load + expected <= SHARE_SECONDS and len(bundle.calls) < MOST_CALLS
            if not (is_free or has_room):
                break
            first = queue.popleft()
            for call in (first, *first.followers):
                call.bundle = bundle
                bundle.calls[call.number] = self._calls[call.number] = call
                bundle.load += self._expected(call)
                calls.append(call)
        if calls and bundle.peer is not None:
            bundle.peer.send(("calls", bundle.number, [(c.number, c.call) for c in calls]))

    def _expected(self, call: _Call) -> float:
        """How long an attempt will take, in seconds; long if nobody knows."""
        return self._paces.get(call.call.function, SHARE_SECONDS)

    def _request(self, pool: _Pool) -> None:
        """As many bundles as the work that waits is worth: one for each attempt that is not short."""
        most = min(len(pool.queue), self.most - len(pool.bundles))
        if most <= pool.requested:
            return
        work = sum(min(self._expected(call), SHARE_SECONDS) for call in pool.queue)
        wanted = min(most, 1 + int(work / SHARE_SECONDS))
        for _ in range(wanted - pool.requested):
            self._begin(pool)

    def _begin(self, pool: _Pool) -> None:
        assert self._address is not None
        number, name = next(self._numbers), pool.queue[0].call.task_id
        try:
            handle = self._submitter.bundle(self._address, number, name, pool.options)
        except (ValueError, TypeError) as error:
            first = pool.queue.popleft()
            _settle(first, refused(error))
            _return(first.followers)
            self._serve_soon(pool)
            return
        now = asyncio.get_running_loop().time()
        bundle = self._bundles[number] = pool.bundles[number] = _Bundle(number, pool, handle, now)
        pool.requested += 1
        self._reconsider_later(bundle)
        watch = asyncio.ensure_future(self._watch(bundle))
        self._watches.add(watch)
        watch.add_done_callback(self._watches.discard)

    def _reconsider_later(self, bundle: _Bundle) -> None:
        asyncio.get_running_loop().call_later(PATIENCE_SECONDS, self._reconsider, bundle)

    def _reconsider(self, bundle: _Bundle) -> None:
        """A request that Ray has not met, and that nothing waits for any more, is taken back."""
        if bundle.peer is not None or bundle.is_over:
            return
        if bundle.pool.requested > len(bundle.pool.queue):
            bundle.is_over = True
            self._submitter.stop(bundle.handle, force=False)
        else:
            self._reconsider_later(bundle)

    def _let_linger(self, bundle: _Bundle) -> None:
        """Without work it waits a moment, then it ends."""
        if bundle.calls and bundle.leaves is not None:
            bundle.leaves.cancel()
            bundle.leaves = None
        elif not bundle.calls and bundle.leaves is None:
            loop = asyncio.get_running_loop()
            bundle.leaves = loop.call_later(LINGER_SECONDS, self._end, bundle)

    def _end(self, bundle: _Bundle) -> None:
        if bundle.peer is not None and not bundle.calls and not bundle.is_over:
            bundle.is_over = True
            bundle.pool.bundles.pop(bundle.number, None)
            bundle.peer.send(("end", bundle.number, None))

    def _kill(self, call: _Call) -> None:
        """A worker that does not heed, because its body lets no other thread run, is ended by Ray."""
        bundle = call.bundle
        if bundle is not None and call.number in bundle.calls and not call.outcome.done():
            self._submitter.stop(bundle.handle, force=True)

    async def _watch(self, bundle: _Bundle) -> None:
        """When the Ray task has ended: the first of what the bundle still had was running."""
        ended: Any = await self._submitter.outcome(bundle.handle)
        has_died, is_unwanted = isinstance(ended, Outcome), bundle.is_over
        if bundle.peer is not None:
            try:
                await asyncio.wait_for(bundle.left.wait(), LEAVE_SECONDS)
            except TimeoutError:
                logger.warning("the line to a worker that has ended is still open")
        else:
            bundle.pool.requested -= 1
        bundle.is_over = True
        self._bundles.pop(bundle.number, None)
        bundle.pool.bundles.pop(bundle.number, None)
        if ended == UNREACHED or (bundle.peer is None and not has_died and not is_unwanted):
            self._give_up()
        elif not has_died and ended is not None:
            which, outcome = ended
            if which in bundle.calls:
                call = bundle.calls[which]
                call.value = bundle.handle.value
                self._ended(bundle, which, outcome)
                self._paces[call.call.function] = SHARE_SECONDS  # a bundle ends with such a value
        elif has_died and bundle.peer is None and bundle.pool.queue and not is_unwanted:
            first = bundle.pool.queue.popleft()  # it was asked for this one
            _settle(first, ended)
            _return(first.followers)
        if has_died:
            await self._recalled(bundle)
        self._leave_behind(bundle, ended if has_died else None)
        if bundle.pool.queue or bundle.pool.bundles:
            self._serve_soon(bundle.pool)
        else:
            self._pools.pop(bundle.pool.key, None)

    async def _recalled(self, bundle: _Bundle) -> None:
        """Outcomes that a worker has made durable, and could not tell of any more."""
        calls = [call for call in bundle.calls.values() if call.first or call.followers]
        if self._recall is None:
            return
        for workflow_id, epoch in {(c.call.workflow_id, c.call.epoch) for c in calls}:
            outcomes = await self._recall(workflow_id, epoch, bundle.number)
            for call in calls:
                outcome = outcomes.get((call.call.task_id, call.call.attempt))
                if outcome is not None and call.call.workflow_id == workflow_id:
                    self._ended(bundle, call.number, outcome)

    def _leave_behind(self, bundle: _Bundle, outcome: Outcome | None) -> None:
        """What a bundle has not told of: one was running when its process died, or was to be the next."""
        left = list(bundle.calls.values())
        if outcome is None:
            for call in reversed(left):
                self._take_back(bundle, call)
            return
        failed = bundle.running if bundle.running in bundle.calls else left[0].number if left else 0
        for call in left:
            del self._calls[call.number]
            _settle(call, outcome if call.number == failed else RETURNED)

    def _give_up(self) -> None:
        """Workers cannot reach the engine: from now on every attempt is a Ray task."""
        if self._address is None:
            return
        logger.warning(
            "A worker cannot connect to %s:%d, so attempts are not bundled, which is slower. Let the nodes "
            "of the cluster connect to each other.",
            self._address.host,
            self._address.port,
        )
        self._address = None
        for pool in self._pools.values():
            while pool.queue:
                self._pass_on(pool.queue.popleft(), pool.options)

    def _pass_on(self, call: _Call, options: dict[str, Any]) -> None:
        _return(call.followers)
        handle = call.alone = self._submitter.submit(call.call, options, [])
        call.value = handle.value

        async def follow() -> None:
            _settle(call, await self._submitter.outcome(handle))

        watch = asyncio.ensure_future(follow())
        self._watches.add(watch)
        watch.add_done_callback(self._watches.discard)


def _is_shared(options: dict[str, Any]) -> bool:
    """Whether attempts with these options of Ray may share a worker: they ask for CPUs alone."""
    return _SHARED_OPTIONS.issuperset(options)


def _return(calls: list[_Call]) -> None:
    """They cannot follow any more."""
    for call in calls:
        _settle(call, RETURNED)


def _settle(call: _Call, outcome: Outcome) -> None:
    if not call.outcome.done():
        call.outcome.set_result(outcome)
