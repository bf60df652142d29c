"""Lanes: one worker runs the calls of an actor one after the other, for as long as there are some.

Calls whose turn comes together travel together, and so do their outcomes. Calls for a worker that is there
already cost one message to the engine and its answer, and no task of Ray. The answer with the next calls
comes when the outcomes of those before them are durable.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any

from rayflow.core.outcomes import RETURNED, Outcome
from rayflow.runtime.submitter import Handle, Submitter, refused
from rayflow.runtime.worker import Next, TaskCall

LINGER_SECONDS = 0.02  # how long a worker waits for the next calls
LONGEST_SECONDS = 1.0  # then others may have its place in the cluster

Ended = tuple[str, int, Outcome]  # a task, the number of its attempt, what became of it


@dataclass(slots=True, eq=False)
class _Call:
    """A call in a lane, and what becomes of it."""

    call: TaskCall
    refs: list[tuple[int, Any]]
    options: dict[str, Any]
    outcome: asyncio.Future[Outcome]
    worker: _Worker | None = None


@dataclass(slots=True, eq=False)
class _Worker:
    """A Ray task that runs calls. ``calls``: those that it has, in order. ``next``: it waits for more."""

    handle: Handle
    options: dict[str, Any]
    began: float
    calls: list[_Call] = field(default_factory=list)
    next: asyncio.Future[list[Next]] | None = None


class Lane:
    """Runs methods in lanes, and all other attempts as the submitter beneath it does."""

    def __init__(self, submitter: Submitter) -> None:
        self._submitter = submitter
        self._worker: _Worker | None = None
        self._new: list[_Call] = []
        self._watches: set[asyncio.Task[None]] = set()

    def submit(
        self, call: TaskCall, options: dict[str, Any], refs: list[tuple[int, Any]]
    ) -> Handle:
        """Start an attempt; methods go when all that are submitted in one go are there.

        Raises ValueError or TypeError if ``options`` make no sense.
        """
        if call.method is None:
            return self._submitter.submit(call, options, refs)
        loop = asyncio.get_running_loop()
        new = _Call(call, refs, options, loop.create_future())
        if not self._new:
            loop.call_soon(self._send)
        self._new.append(new)
        return Handle(new, None)

    async def delivered(self, ended: list[Ended], *, is_done: bool) -> list[Next]:
        """A worker has run calls; returns the next ones when it ``is_done``, or none if there are none."""
        worker = self._worker
        begun = [] if worker is None else worker.calls[: len(ended)]
        said = [(task_id, attempt) for task_id, attempt, _ in ended]
        if worker is None or [(c.call.task_id, c.call.attempt) for c in begun] != said:
            return []  # another worker's, or not all that came before them: so they count for nothing
        loop = asyncio.get_running_loop()
        if is_done and loop.time() - worker.began < LONGEST_SECONDS:
            worker.next = loop.create_future()
        for call, (_, _, outcome) in zip(begun, ended, strict=True):
            self._end(worker, call, outcome)
        if is_done:
            for call in list(worker.calls):
                self._end(worker, call, RETURNED)
        if worker.next is None:
            return []
        try:
            return await asyncio.wait_for(worker.next, LINGER_SECONDS)
        except TimeoutError:
            return []
        finally:
            worker.next = None

    def store(self, call: TaskCall, outcome: Outcome, handle: Handle) -> Handle:
        """Start storing the value that an attempt has left in memory; its outcome says where it is."""
        return self._submitter.store(call, outcome, handle)

    async def outcome(self, handle: Handle) -> Outcome:
        """What became of it. Never raises."""
        if isinstance(handle.outcome, _Call):
            return await asyncio.shield(handle.outcome.outcome)
        return await self._submitter.outcome(handle)

    def stop(self, handle: Handle, *, force: bool) -> None:
        """Ask it to stop, or end its process; its outcome says what has become of it."""
        call = handle.outcome
        if not isinstance(call, _Call):
            self._submitter.stop(handle, force=force)
        elif call.worker is not None:
            self._submitter.stop(call.worker.handle, force=force)
        elif call in self._new:
            self._new.remove(call)
            call.outcome.set_result(Outcome("stopped"))

    async def destroy(self, place: Any) -> None:
        """Make sure that a process that has announced an attempt is gone; return when it is."""
        await self._submitter.destroy(place)

    def _send(self) -> None:
        """Give the new calls to the worker that waits for some, or to a new one."""
        calls, self._new = self._new, []
        if not calls:
            return
        worker, options = self._worker, calls[0].options
        is_waiting = worker is not None and worker.next is not None and not worker.next.done()
        if worker is not None and is_waiting and worker.options == options:
            assert worker.next is not None
            worker.next.set_result(_travelling(calls))
        else:
            worker = self._begin(calls, options)
        if worker is not None:
            worker.calls += calls
            for call in calls:
                call.worker = worker

    def _begin(self, calls: list[_Call], options: dict[str, Any]) -> _Worker | None:
        first, *others = calls
        more = _travelling(others)
        try:
            handle = self._submitter.submit(
                replace(first.call, more=tuple(more)), options, first.refs
            )
        except (ValueError, TypeError) as error:
            first.outcome.set_result(refused(error))
            for call in others:
                call.outcome.set_result(RETURNED)
            return None
        worker = self._worker = _Worker(handle, options, asyncio.get_running_loop().time())
        watch = asyncio.ensure_future(self._watch(worker))
        self._watches.add(watch)
        watch.add_done_callback(self._watches.discard)
        return worker

    async def _watch(self, worker: _Worker) -> None:
        """When the task ends, what it had begun last has ended with it; the calls behind had not begun."""
        outcome = await self._submitter.outcome(worker.handle)
        for call in list(worker.calls):
            self._end(worker, call, outcome)
            outcome = RETURNED
        if self._worker is worker:
            self._worker = None

    def _end(self, worker: _Worker, call: _Call, outcome: Outcome) -> None:
        worker.calls.remove(call)
        if not call.outcome.done():
            call.outcome.set_result(outcome)


def _travelling(calls: list[_Call]) -> list[Next]:
    """Calls on their way to a worker: only the first needs the state, the others have what it leaves."""
    return [
        (c.call if place == 0 else replace(c.call, state=None), c.refs)
        for place, c in enumerate(calls)
    ]
