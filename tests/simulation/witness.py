"""Those who watch a simulated engine while it runs, and raise when it breaks a promise."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from typing import Any

from rayflow.core.outcomes import Outcome
from rayflow.core.records import Kind, Record
from rayflow.core.state import WorkflowState
from rayflow.core.tasks import TaskStatus
from rayflow.runtime.executor import WorkflowRunner, Writer
from rayflow.runtime.submitter import Handle
from rayflow.runtime.worker import TaskCall
from rayflow.storage.store import Store
from rayflow.testing.simulation import FakeClock, FakeSubmitter
from tests.simulation.workflows import BODIES

OUTCOMES = (Kind.SUCCEEDED, Kind.FAILED, Kind.CONTINUED, Kind.TASK_CANCELED)
RESTING = (Kind.STARTED, Kind.WAITING, Kind.SUCCEEDED, Kind.FAILED, Kind.CONTINUED)
KEPT = (*OUTCOMES, Kind.WAITING, Kind.SIGNALED)


class Violation(AssertionError):
    """A promise of the engine was broken."""


def require(promise: bool, otherwise: str) -> None:
    if not promise:
        raise Violation(otherwise)


class Witness:
    """A journal writer that notes what was acknowledged, and what is durable."""

    def __init__(self, inner: Writer, known: WorkflowState, acknowledged: list[Record]) -> None:
        self.last_seq, self.epoch = inner.last_seq, inner.epoch
        self.durable: WorkflowState = pickle.loads(pickle.dumps(known))
        self._inner, self._acknowledged = inner, acknowledged

    def commit(self, records: Sequence[Record]) -> None:
        self._inner.commit(records)
        self.acknowledge(records)

    def acknowledge(self, records: Sequence[Record]) -> None:
        self.last_seq = records[-1].seq
        for record in records:
            self._check_order(record)
            self.durable.apply(record)
            if record.kind in KEPT:
                self._acknowledged.append(record)

    def _check_order(self, record: Record) -> None:
        """Nothing is recorded of a task before the values that it rests on are.

        One that waits, or that has continued, has used them; they may be computed once more for others
        meanwhile.
        """
        task = self.durable.tasks.get(record.task_id or "")  # not there: dropped from a chain
        if task is None or record.task_id in self.durable.waits.until or task.continued_to:
            return
        if record.kind in RESTING:
            require(not task.missing, f"recorded before {task.missing} of its inputs: {record}")


class WatchedSubmitter(FakeSubmitter):
    """Checks every start against what is durable, and remembers what it has delivered.

    Attributes:
        delivered: every outcome with its call and handle, so that it can arrive once more.
        left: attempts that neither ended nor were stopped.
        early: how many attempts were started before their inputs were durable.
        finals: how many attempts of ``finally_`` tasks were started.
    """

    def __init__(
        self, witness: Witness, clock: FakeClock, seed: int, loses: float, relays: Store | None
    ) -> None:
        super().__init__(BODIES, seed=seed, loses=loses, relays=relays)
        self.delivered: list[tuple[TaskCall, Outcome, Handle]] = []
        self.left: dict[int, TaskCall] = {}
        self.early = self.finals = 0
        self._witness, self._clock = witness, clock

    def submit(
        self, call: TaskCall, options: dict[str, Any], refs: list[tuple[int, Any]]
    ) -> Handle:
        task = self._witness.durable.tasks.get(call.task_id)
        if task is None:
            raise Violation(f"{call.task_id} was started before it was durable")
        missing = [u for u in task.upstream if not self._may_be_used(u)]
        effect = bool(task.missing and task.options["effect"])
        if missing or effect or task.status is not TaskStatus.PENDING:
            raise Violation(
                f"{call.task_id} was started while {task.status} with {missing} missing, {effect=}"
            )
        if task.retry_at is not None and self._clock.now() < task.retry_at:
            raise Violation(f"{call.task_id} was started before its wait was over")
        if any(other.task_id == call.task_id for other in self.left.values()):
            raise Violation(f"{call.task_id} was started while an attempt of it was under way")
        if task.finally_of is not None:
            self._check_end(call.task_id)
        self.early += bool(task.missing)
        handle = super().submit(call, options, refs)
        self.left[id(handle)] = call
        return handle

    def follow(self, before: Handle, call: TaskCall) -> Handle:
        task = self._witness.durable.tasks.get(call.task_id)
        if task is None or task.status is not TaskStatus.PENDING or task.options["effect"]:
            raise Violation(f"{call.task_id} follows although it must not")
        handle = super().follow(before, call)
        self.left[id(handle)] = call
        return handle

    async def outcome(self, handle: Handle) -> Outcome:
        outcome = await super().outcome(handle)
        call = self.left.pop(id(handle), handle.outcome.call)
        if outcome.value is None or outcome.value.data is not None:  # else it is to be stored first
            self.delivered.append((call, outcome, handle))
        return outcome

    def _check_end(self, task_id: str) -> None:
        """A finally_ task starts when the workflow has its end, and runs with none but its own kind."""
        durable = self._witness.durable
        is_over = durable.output.status is TaskStatus.SUCCESSFUL
        if not (is_over or durable.error or durable.cancel_requested or durable.timed_out):
            raise Violation(f"{task_id} was started before the end")
        tasks = [call.task_id for call in self.left.values()]
        others = [t for t in tasks if durable.tasks[t].finally_of is None]
        if others:
            raise Violation(f"{task_id} was started beside {others}")
        self.finals += 1

    def _may_be_used(self, task_id: str) -> bool:
        """Whether the value of a task is durable, or that of one that does not wait for that."""
        tasks = self._witness.durable.tasks
        task = tasks[task_id]
        while task.status is TaskStatus.CONTINUED and task.continued_to is not None:
            task = tasks[task.continued_to]
        return task.status is TaskStatus.SUCCESSFUL or task.options["checkpoint"] == "async"


def check_nothing_is_left(runner: WorkflowRunner, submitter: WatchedSubmitter) -> None:
    """A runner that has ended well holds nothing, and nothing of it is under way."""
    books = {
        "in flight": runner.state.in_flight,
        "handles": runner._handles,
        "watchers": runner._watchers,
        "under way": runner.state.under_way,
        "listeners": range(runner.state.hosted),
        "requests": runner._requests._open,
        "attempts": submitter.left,
    }
    require(not any(books.values()), f"left behind: {books}")
