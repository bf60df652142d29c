"""Chains whose tasks run one after the other in the same worker: which tasks, and what is made of them.

A task that waits for one other task alone can begin where that one has ended, as soon as its value is
durable. The worker makes it durable itself, in a *relay* (:mod:`rayflow.storage.relays`), and the engine
writes it into the journal meanwhile. Whoever takes the workflow over adopts what the journal has not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from rayflow.core.records import Fact, Kind, Record
from rayflow.core.state import WorkflowState
from rayflow.core.tasks import TaskState, TaskStatus
from rayflow.core.waits import spec

MOST = 256  # tasks that one relay is for


def followers(
    state: WorkflowState, first: TaskState, may_share: Callable[[TaskState], bool], least: int
) -> list[TaskState]:
    """The tasks that can run behind ``first`` in its worker, in order. None if they are fewer than ``least``.

    ``may_share`` says whether attempts of a task may have their worker together with others.
    """
    if first.missing:
        return []  # it uses a value that is not durable: nothing can be relied on that rests on it
    found, current = list[TaskState](), first
    while len(found) < MOST and len(current.dependents) == 1 and _hands_over(current):
        following = state.tasks[current.dependents[0]]
        if not _follows(state, following, first) or not may_share(following):
            break
        found.append(following)
        current = following
    return found if len(found) >= least else []


def adopted(state: WorkflowState, relayed: Iterable[Record], now: float) -> list[Record]:
    """What of ``relayed`` the journal lacks: outcomes that were durable. They are applied to ``state``."""
    found: list[Record] = []
    for record in relayed:
        task = state.tasks.get(record.task_id or "")
        if task is None or task.status is not TaskStatus.PENDING or task.missing:
            continue
        if (record.attempt or 0) < task.attempt:
            continue
        found.append(replace(record, seq=state.last_seq + 1, time=now))
        state.apply(found[-1])
    return found


def is_relayed(fact: Fact) -> bool:
    """Whether a fact is one that a relay can hold: the value of a task, and nothing besides."""
    return fact.kind is Kind.SUCCEEDED and fact.data["value"] is not None


def _hands_over(task: TaskState) -> bool:
    return task.options["checkpoint"] in (None, True)


def _follows(state: WorkflowState, task: TaskState, first: TaskState) -> bool:
    """Whether a task waits for the one before it and for nothing else, and runs as ``first`` does."""
    is_plain = task.finally_of is None and task.item is None and not task.watches
    is_waiting = task.status is TaskStatus.PENDING and (task.missing, task.lent) == (1, 0)
    is_free = task.task_id not in state.in_flight and task.retry_at is None and spec(task) is None
    return is_plain and is_waiting and is_free and task.options["ray"] == first.options["ray"]
