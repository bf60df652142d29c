"""Where listeners run: processes that hold no CPU, one for all listeners with the same ``runtime_env``.

A listener can end its process. The others that were in it begin again, in two processes, so that after a few
such deaths the one that is to blame is alone; only then does it count as a failure of its task.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

import ray
from ray import exceptions

from rayflow.core.outcomes import Outcome
from rayflow.runtime.in_place import Hops
from rayflow.runtime.loops import Loops
from rayflow.runtime.processes import node_address
from rayflow.runtime.ray_options import restored
from rayflow.runtime.submitter import Handle
from rayflow.runtime.worker import Attempt, TaskCall

_MANY = 1_000_000  # calls at once: each listener is one for as long as it listens
_OPTIONS: dict[str, Any] = {"num_cpus": 0, "max_restarts": 0, "max_concurrency": _MANY}


class Host:
    """The process for listeners; an actor, which ends with the engine that made it."""

    def __init__(self) -> None:
        self._loops = Loops()

    async def listen(self, name: str, call: TaskCall, refs: list[tuple[int, Any]]) -> Outcome:
        """Run one attempt of a task that listens, and say what became of it. Never raises."""
        detail = {"started_at": time.time(), "node": node_address(), "pid": os.getpid()}
        attempt = Attempt(call, refs, detail, None)
        try:
            function, judge, args, kwargs = await asyncio.to_thread(attempt.load)
        except Exception as error:
            return await asyncio.to_thread(attempt.not_loaded, error)
        try:
            listening = self._loops.run(name, lambda: function.hosted(*args, **kwargs))
            value = await asyncio.wrap_future(listening)
        except asyncio.CancelledError:
            return Outcome("stopped")
        except BaseException as error:
            worth_it = judge is None or bool(judge(error))
            outcome, _ = await asyncio.to_thread(attempt.raised, error, retryable=worth_it)
            return outcome
        outcome, _ = await asyncio.to_thread(attempt.stored, Hops((), value, call.catches))
        return outcome

    async def stop(self, name: str, force: bool) -> None:
        """Cancel a listener."""
        self._loops.stop(name, force=force)


@dataclass(slots=True, eq=False)
class _Group:
    """The listeners in one process."""

    actor: Any
    runtime_env: Any
    members: dict[str, _Listener] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class _Listener:
    """An attempt that listens, wherever it has to begin again."""

    name: str
    call: TaskCall
    refs: list[tuple[int, Any]]
    group: _Group
    ref: Any


class HostSubmitter:
    """Attempts of listeners: the :class:`rayflow.runtime.submitter.Submitter` for tasks without a process."""

    def __init__(self) -> None:
        self._shared: dict[str, _Group] = {}  # by environment

    def submit(
        self, call: TaskCall, options: dict[str, Any], refs: list[tuple[int, Any]]
    ) -> Handle:
        """Start to listen. Raises ValueError or TypeError if the environment makes no sense."""
        environment = options.get("runtime_env")
        own = restored({"runtime_env": environment})["runtime_env"]
        key = json.dumps(environment, sort_keys=True, default=repr)
        # One that has failed before may have ended its process: it gets another to itself.
        group = _group(own) if call.attempt > 1 else self._shared.get(key)
        if group is None:
            group = self._shared[key] = _group(own)
        listener = _Listener(uuid.uuid4().hex, call, refs, group, None)
        _begin(listener, group)
        return Handle(listener, None)

    def store(self, call: TaskCall, outcome: Outcome, handle: Handle) -> Handle:
        """Hosts store every value themselves."""
        raise NotImplementedError

    async def outcome(self, handle: Handle) -> Outcome:
        """What became of it. Never raises."""
        listener: _Listener = handle.outcome
        while True:
            group = listener.group
            try:
                outcome: Outcome = await listener.ref
            except exceptions.RayActorError as error:
                self._split(group)
                if listener.group is not group:
                    continue
                described = {"type": "ListenerDied", "message": str(error), "traceback": None}
                outcome = Outcome("lost", error=described, has_died=True)
            except Exception as error:
                described = {"type": type(error).__name__, "message": str(error), "traceback": None}
                outcome = Outcome("lost", error=described)
            self._leave(listener)
            return outcome

    def stop(self, handle: Handle, *, force: bool) -> None:
        """Cancel it; its outcome says what has become of it."""
        listener: _Listener = handle.outcome
        listener.group.actor.stop.remote(listener.name, force)

    async def destroy(self, place: Any) -> None:
        """The process is there for others, too."""

    def _split(self, group: _Group) -> None:
        """The process of a group has ended: its listeners begin again in two, if there are several."""
        self._shared = {key: g for key, g in self._shared.items() if g is not group}
        members, group.members = list(group.members.values()), {}
        if len(members) < 2:
            return
        middle = len(members) // 2
        for half in (members[:middle], members[middle:]):
            new = _group(group.runtime_env)
            for listener in half:
                _begin(listener, new)

    def _leave(self, listener: _Listener) -> None:
        """A process without listeners ends, unless it is the one for those that come."""
        group = listener.group
        group.members.pop(listener.name, None)
        if not group.members and group not in self._shared.values():
            ray.kill(group.actor)


def _group(runtime_env: Any) -> _Group:
    actor: Any = ray.remote(**_OPTIONS)(Host)
    if runtime_env:
        actor = actor.options(runtime_env=runtime_env)
    return _Group(actor.remote(), runtime_env)


def _begin(listener: _Listener, group: _Group) -> None:
    listener.group = group
    group.members[listener.name] = listener
    listener.ref = group.actor.listen.remote(listener.name, listener.call, listener.refs)
