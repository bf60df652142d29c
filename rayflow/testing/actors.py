"""Methods of virtual actors for the simulation: run one after the other, as the worker of a lane does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from rayflow.core.graph import Graph
from rayflow.core.outcomes import Outcome
from rayflow.runtime.lanes import Ended, Lane
from rayflow.runtime.submitter import Handle
from rayflow.runtime.worker import Next, TaskCall
from rayflow.testing.simulation import Body, FakeSubmitter, stored, unstored


@dataclass(frozen=True, slots=True)
class Left:
    """What a method returns: a value or a graph, the state that it leaves, and calls for later."""

    value: Any
    state: Any
    laters: tuple[Graph, ...] = ()


@dataclass(frozen=True, slots=True)
class MethodCall:
    """What a method sees: its call, its arguments, the values of its inputs, and the state."""

    call: TaskCall
    arguments: Any
    inputs: tuple[Any, ...]
    state: Any


Methods = Mapping[str, Callable[[MethodCall], Left]]


@dataclass(slots=True)
class _Worker:
    """A process that runs calls."""

    calls: list[Next]
    is_stopped: bool = False


class FakeActorSubmitter(FakeSubmitter):
    """Runs methods besides tasks; ``lane`` is told what has become of them.

    Args:
        bodies: the code of tasks, as for :class:`FakeSubmitter`.
        methods: the code of methods by their names.
        **chance: as for :class:`FakeSubmitter`.
    """

    def __init__(self, bodies: Mapping[str, Body], methods: Methods, **chance: Any) -> None:
        super().__init__(bodies, **chance)
        self.lane: Lane | None = None
        self._methods = methods

    def submit(
        self, call: TaskCall, options: dict[str, Any], refs: list[tuple[int, Any]]
    ) -> Handle:
        """Start an attempt, or a worker for calls."""
        if call.method is None:
            return super().submit(call, options, refs)
        return Handle(_Worker([(replace(call, more=()), refs), *call.more]), None)

    async def outcome(self, handle: Handle) -> Outcome:
        """What became of it. Never raises."""
        worker = handle.outcome
        if not isinstance(worker, _Worker):
            return await super().outcome(handle)
        assert self.lane is not None
        while worker.calls:
            ended = await self._batch(worker, self.lane)
            if ended is None:
                return Outcome("stopped" if worker.is_stopped else "lost", error=_DIED)
            worker.calls = await self.lane.delivered(ended, is_done=True)
        return Outcome("lost", error=_DIED)

    def stop(self, handle: Handle, *, force: bool) -> None:
        """Ask it to stop, or kill it; its outcome says when it is gone."""
        if isinstance(handle.outcome, _Worker):
            handle.outcome.is_stopped = True
        else:
            super().stop(handle, force=force)

    async def _batch(self, worker: _Worker, lane: Lane) -> list[Ended] | None:
        """What becomes of calls that have come together; None if the worker dies."""
        ended: list[Ended] = []
        state = worker.calls[0][0].state
        for call, _ in worker.calls:
            for _ in range(self._random.randint(0, self._longest)):
                await asyncio.sleep(0)
            if worker.is_stopped or self._random.random() < self._loses:
                return None
            outcome = self.run_method(replace(call, state=state))
            if self._random.random() < self._loses:
                return None
            ended.append((call.task_id, call.attempt, outcome))
            if outcome.kind != "value" or outcome.laters or self._random.random() < 0.1:
                break
            state = outcome.state or state
            if self._random.random() < 0.2:  # the next one takes long
                await lane.delivered(ended, is_done=False)
                ended = []
        return ended

    def run_method(self, call: TaskCall) -> Outcome:
        """Run one method."""
        self.executed.append(call)
        if len(self.executed) == self._act_after:
            self._act()
        state = None if call.state is None else unstored(call.state)
        inputs = tuple(unstored(value) for value in call.inputs if value is not None)
        try:
            made = self._methods[call.method or ""](
                MethodCall(call, unstored(call.args), inputs, state)
            )
        except Exception as error:  # noqa: BLE001 - what a body raises is its outcome
            described = {"type": type(error).__name__, "message": str(error), "traceback": None}
            return Outcome("error", value=stored((None, error)), error=described)
        left = stored(made.state)
        if isinstance(made.value, Graph):
            return Outcome("graph", graph=made.value, state=left, laters=made.laters)
        value = stored((made.value, None) if call.catches else made.value)
        return Outcome("value", value=value, state=left, laters=made.laters)


_DIED = {"type": "WorkerCrashedError", "message": "the process died", "traceback": None}
