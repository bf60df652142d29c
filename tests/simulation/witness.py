"""Those who watch a simulated engine while it runs, and raise when it breaks a promise."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from typing import Any

from rayflow.core.outcomes import Outcome
from rayflow.core.records import Kind, Record
from rayflow.core.state import TaskStatus, WorkflowState
from rayflow.runtime.executor import WorkflowRunner, Writer
from rayflow.runtime.submitter import Handle
from rayflow.runtime.worker import TaskCall
from rayflow.testing.simulation import FakeClock, FakeSubmitter
from tests.simulation.workflows import BODIES

OUTCOMES = (Kind.SUCCEEDED, Kind.FAILED, Kind.CONTINUED, Kind.TASK_CANCELED)


class Violation(AssertionError):
    """A promise of the engine was broken."""


def require(promise: bool, otherwise: str) -> None:
    if not promise:
        raise Violation(otherwise)


class Witness:
    """A journal writer that notes what was acknowledged, and what is durable."""

    def __init__(self, inner: Writer, known: WorkflowState, acknowledged: list[Record]) -> None:
        self.last_seq = inner.last_seq
        self.durable: WorkflowState = pickle.loads(pickle.dumps(known))
        self._inner, self._acknowledged = inner, acknowledged

    def commit(self, records: Sequence[Record]) -> None:
        self._inner.commit(records)
        self.acknowledge(records)

    def acknowledge(self, records: Sequence[Record]) -> None:
        self.last_seq = records[-1].seq
        for record in records:
            self.durable.apply(record)
            if record.kind in OUTCOMES:
                self._acknowledged.append(record)


class WatchedSubmitter(FakeSubmitter):
    """Checks every start against what is durable, and remembers what it has delivered.

    Attributes:
        delivered: every outcome with its call and handle, so that it can arrive once more.
        left: attempts that neither ended nor were stopped.
    """

    def __init__(self, witness: Witness, clock: FakeClock, seed: int, loses: float) -> None:
        super().__init__(BODIES, seed=seed, loses=loses)
        self.delivered: list[tuple[TaskCall, Outcome, Handle]] = []
        self.left: dict[int, TaskCall] = {}
        self._witness, self._clock = witness, clock

    def submit(
        self, call: TaskCall, options: dict[str, Any], refs: list[tuple[int, Any]]
    ) -> Handle:
        task = self._witness.durable.tasks.get(call.task_id)
        if task is None:
            raise Violation(f"{call.task_id} was started before it was durable")
        if task.missing or task.status is not TaskStatus.PENDING:
            raise Violation(
                f"{call.task_id} was started while {task.status} with {task.missing} inputs missing"
            )
        if task.retry_at is not None and self._clock.now() < task.retry_at:
            raise Violation(f"{call.task_id} was started before its wait was over")
        if any(other.task_id == call.task_id for other in self.left.values()):
            raise Violation(f"{call.task_id} was started while an attempt of it was under way")
        handle = super().submit(call, options, refs)
        self.left[id(handle)] = call
        return handle

    async def outcome(self, handle: Handle) -> Outcome:
        outcome = await super().outcome(handle)
        self.delivered.append((self.left.pop(id(handle), handle.outcome.call), outcome, handle))
        return outcome


def check_nothing_is_left(runner: WorkflowRunner, submitter: WatchedSubmitter) -> None:
    """A runner that has ended well holds nothing, and nothing of it is under way."""
    books = {
        "in flight": runner.state.in_flight,
        "handles": runner._handles,
        "watchers": runner._watchers,
        "under way": runner.state.under_way,
        "attempts": submitter.left,
    }
    require(not any(books.values()), f"left behind: {books}")
