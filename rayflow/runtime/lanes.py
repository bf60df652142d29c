"""Lanes: one worker runs the calls of an actor one after the other, for as long as there are some.

A call on a worker that is there already costs one message to the engine and its answer, and no task of
Ray. The answer comes when the outcome is durable, so each call rests on what is recorded.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from rayflow.core.outcomes import Outcome
from rayflow.runtime.submitter import Handle, Submitter
from rayflow.runtime.worker import TaskCall

LINGER_SECONDS = 0.02  # how long a worker waits for the next call
LONGEST_SECONDS = 1.0  # then others may have its place in the cluster

Next = tuple[TaskCall, list[tuple[int, Any]]]


@dataclass(slots=True)
class _Task:
    """A Ray task that runs calls. ``next``: it waits for one, which goes there, or None."""

    handle: Handle
    options: dict[str, Any]
    began: float
    end: asyncio.Future[Outcome]
    next: asyncio.Future[Next | None] | None = None


@dataclass(slots=True, eq=False)
class _Call:
    """A call in a lane: its ``outcome`` comes by message, or with the end of the task."""

    task: _Task
    outcome: asyncio.Future[Outcome] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class Lane:
    """Runs methods in lanes, and all other attempts as the submitter beneath it does."""

    def __init__(self, submitter: Submitter) -> None:
        self._submitter = submitter
        self._present: _Task | None = None
        self._calls: dict[tuple[str, int, str], _Call] = {}

    def submit(
        self, call: TaskCall, options: dict[str, Any], refs: list[tuple[int, Any]]
    ) -> Handle:
        """Start an attempt. Raises ValueError or TypeError if ``options`` make no sense."""
        if call.method is None:
            return self._submitter.submit(call, options, refs)
        task = self._waiting(options)
        if task is not None and task.next is not None:
            task.next.set_result((call, refs))
            task.next = None
        else:
            task = self._begin(call, options, refs)
        started = self._calls[call.task_id, call.attempt, call.token] = _Call(task)
        return Handle(started, None)

    async def delivered(
        self, task_id: str, attempt: int, token: str, outcome: Outcome
    ) -> Next | None:
        """A worker has run a call; returns the next one for it, or None if there is none."""
        call = self._calls.get((task_id, attempt, token))
        if call is None or call.outcome.done():
            return None
        task, loop = call.task, asyncio.get_running_loop()
        if loop.time() - task.began < LONGEST_SECONDS:
            task.next = loop.create_future()
        call.outcome.set_result(outcome)
        if task.next is None:
            return None
        try:
            return await asyncio.wait_for(task.next, LINGER_SECONDS)
        except TimeoutError:
            return None
        finally:
            task.next = None

    def store(self, call: TaskCall, outcome: Outcome, handle: Handle) -> Handle:
        """Start storing the value that an attempt has left in memory; its outcome says where it is."""
        return self._submitter.store(call, outcome, handle)

    async def outcome(self, handle: Handle) -> Outcome:
        """What became of it. Never raises."""
        call = handle.outcome
        if not isinstance(call, _Call):
            return await self._submitter.outcome(handle)
        await asyncio.wait({call.outcome, call.task.end}, return_when=asyncio.FIRST_COMPLETED)
        self._calls = {key: c for key, c in self._calls.items() if c is not call}
        return (call.outcome if call.outcome.done() else call.task.end).result()

    def stop(self, handle: Handle, *, force: bool) -> None:
        """Ask it to stop, or end its process; its outcome says what has become of it."""
        call = handle.outcome
        inner = call.task.handle if isinstance(call, _Call) else handle
        self._submitter.stop(inner, force=force)

    async def destroy(self, place: Any) -> None:
        """Make sure that a process that has announced an attempt is gone; return when it is."""
        await self._submitter.destroy(place)

    def _waiting(self, options: dict[str, Any]) -> _Task | None:
        """The task that waits for a call with these options, if there is one."""
        task = self._present
        if task is None or task.next is None or task.next.done() or task.end.done():
            return None
        return task if task.options == options else None

    def _begin(self, call: TaskCall, options: dict[str, Any], refs: list[tuple[int, Any]]) -> _Task:
        handle = self._submitter.submit(call, options, refs)
        end = asyncio.ensure_future(self._submitter.outcome(handle))
        began = asyncio.get_running_loop().time()
        self._present = _Task(handle, options, began, end)
        return self._present
