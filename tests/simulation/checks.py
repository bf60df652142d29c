"""What must be true of a journal when everything is over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rayflow.core.graph import StoredValue
from rayflow.core.records import Kind, Record
from rayflow.core.state import WorkflowState, fold
from rayflow.core.tasks import TaskStatus
from rayflow.testing.simulation import unstored
from tests.simulation.witness import OUTCOMES, require
from tests.simulation.workflows import number


def said(record: Record) -> tuple[Any, ...]:
    """What a record says, but for the time, of which a journal keeps microseconds."""
    return record.kind, record.task_id, record.attempt, record.data, record.value


def check_one_outcome_per_task(journal: Sequence[Record]) -> None:
    """An outcome is final unless a resume says that the task runs again."""
    ended: dict[str, str] = {}
    continued: set[str] = set()
    finals: set[str] = set()  # which begin anew, also if they had continued as a graph
    for record in journal:
        task_id = record.task_id or ""
        if record.kind == Kind.TASK and record.data["finally_of"] and not record.data["parent"]:
            finals.add(task_id)
        if record.kind == Kind.RESUMED:
            for reset in record.data["reset"]:
                ended.pop(reset, None)
                if reset in continued - finals:
                    ended[reset] = Kind.CONTINUED
        elif record.kind == Kind.SUCCEEDED and record.data["caught"]:
            # A catcher has failed itself, or has continued as a graph in which something failed.
            require(ended.get(task_id) in ("caught", Kind.CONTINUED), f"not catching: {record}")
            ended[task_id] = record.kind
        elif record.kind == Kind.TASK_CANCELED or record.data.get("next") == "call":
            # A call of an actor may have continued as a graph in which something failed.
            require(ended.get(task_id) in (None, Kind.CONTINUED), f"ended before: {record}")
            ended[task_id] = record.kind
        elif record.kind in OUTCOMES and record.data.get("next") != "retry":
            require(task_id not in ended, f"a second outcome after {ended.get(task_id)}: {record}")
            ended[task_id] = record.data.get("next", record.kind)
            if record.kind == Kind.CONTINUED:
                continued.add(task_id)


def check_finals(state: WorkflowState) -> None:
    """Every finally_ task that could run has run: its owner could have started, its inputs are there."""
    if not state.has_run:  # it was cancelled before
        return
    for task in state.tasks.values():
        if task.finally_of is None or task.status is not TaskStatus.PENDING:
            continue
        if task.watches:  # tasks that may never run
            continue
        owner = state.tasks[task.finally_of]
        require(bool(task.missing or owner.missing), f"{task.task_id} has not run at the end")


def check_waits(journal: Sequence[Record]) -> None:
    """A message is read once, by a task that waits for it; nobody waits for less than its time."""
    messages: dict[int, Record] = {}
    waits: dict[str, Record] = {}
    specs = {r.task_id: r.data["options"]["wait"] for r in journal if r.kind == Kind.TASK}
    for record in journal:
        wait, task_id = specs.get(record.task_id), record.task_id or ""
        if record.kind == Kind.SIGNALED:
            messages[record.seq] = record
        elif record.kind == Kind.WAITING:
            waits[task_id] = record
        elif wait is not None and record.kind in (Kind.SUCCEEDED, Kind.FAILED):
            if wait["kind"] == "tasks":
                continue
            if record.data.get("signal") is None:
                ends = waits[task_id].data["until"]
                require(record.time >= ends - 1e-3, f"it did not wait until {ends}: {record}")
                continue
            used = messages.pop(record.data["signal"], None)
            require(used is not None, f"a message was read twice: {record}")
            assert used is not None
            where = f"{wait['kind']}/{wait['name']}"
            require(used.data["channel"] == where, f"a message for somebody else: {record}")
            sent = unstored(StoredValue.from_record(used.data["value"], used.value))
            require(unstored_record(record) == sent, f"not what was sent: {record}")


def check_values(journal: Sequence[Record]) -> None:
    """Every stored value is what the body makes of the stored values of the inputs."""
    values: dict[str, Any] = {}
    for record in journal:
        if record.kind == Kind.SUCCEEDED and record.value is not None:
            values[record.task_id or ""] = unstored_record(record)
    state = fold(journal)
    for task in state.tasks.values():
        if task.function != "add" or task.task_id not in values:
            continue
        if task.status is not TaskStatus.SUCCESSFUL:
            continue  # it has been reset since
        sources = [source_of(state, u) for u in task.upstream]
        if isinstance(values[task.task_id], tuple) or any(s not in values for s in sources):
            continue
        own = unstored(task.args)
        expected = (own if task.item is None else own[task.item.at]) + sum(
            number(values[s]) for s in sources
        )
        require(values[task.task_id] == expected, f"{task.task_id} has a wrong value")


def unstored_record(record: Record) -> Any:
    return unstored(StoredValue.from_record(record.data["value"], record.value))


def source_of(state: WorkflowState, task_id: str) -> str:
    """The task that made the value: the end of a chain of continuations."""
    while (below := state.tasks[task_id].continued_to) is not None:
        if state.tasks[below].status is not TaskStatus.SUCCESSFUL:
            break
        task_id = below
    return task_id
