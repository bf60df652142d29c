"""The state of one workflow: ``fold(records)``.

Starting, resuming and recovering are one path: fold what the journal holds (nothing for a new
workflow), then continue. The only parts of a state that are not in the journal are ``no_grace`` and what
the present owner has under way: ``in_flight`` with its attempts, ``under_way``, ``provisional`` and
``outdated`` with what is known of them. After a crash they are empty, so whatever had no recorded outcome
is ready to run again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from rayflow.core import chains, provisional
from rayflow.core.actors import CallEnd, Calls, is_call, place_of
from rayflow.core.deadlines import UnderWay
from rayflow.core.graph import Item, StoredValue
from rayflow.core.items import Places
from rayflow.core.records import Kind, Record, WorkflowStatus
from rayflow.core.tasks import TaskState, TaskStatus
from rayflow.core.waits import Waits, is_hosted, spec

T = TypeVar("T")


class WorkflowState:
    """Everything the planner needs to know about one workflow."""

    def __init__(self) -> None:
        self.workflow_id = ""
        self.status = WorkflowStatus.NONE
        self.root = ""
        self.accepted: dict[str, Any] = {}
        self.runtime_env: dict[str, Any] | None = None
        self.tasks: dict[str, TaskState] = {}
        self._latest: TaskState | None = None
        self.names: dict[str, int] = {}
        self.ready: dict[str, None] = {}  # an ordered set
        self.delayed: dict[str, float] = {}
        self.in_flight: dict[str, int] = {}
        self.hosted = 0  # how many of those are no burden to the cluster
        self.waits = Waits()
        self.places = Places()
        self.provisional: dict[str, None] = {}  # tasks whose values are lent
        self.outdated: set[str] = set()  # attempts under way that used a value which is no more
        self.finals: dict[str, list[str]] = {}  # finally_ tasks by their owners, in order
        self.error: dict[str, Any] | None = None
        self.has_run = False
        self.cancel_requested = False
        self.suspend_requested = False
        self.under_way: dict[str, UnderWay] = {}
        self.no_grace = False
        self.deadline: float | None = None
        self.timed_out = False
        self.last_seq = 0
        self.gone: dict[str, str | None] = {}  # dropped tasks, see rayflow.core.chains
        self.calls: Calls | None = None  # of a virtual actor
        self.children: dict[str, dict[str, Any]] = {}  # the records of its child workflows
        self.links: dict[
            str, str
        ] = {}  # roots of continuations that have no task yet, whose they are

    @property
    def is_finished(self) -> bool:
        """Whether nothing will happen any more unless somebody resumes the workflow."""
        return self.status not in (
            WorkflowStatus.NONE,
            WorkflowStatus.PENDING,
            WorkflowStatus.RUNNING,
        )

    @property
    def is_ending(self) -> bool:
        """Whether nothing of it is to begin but ``finally_`` tasks, as far as is on record."""
        is_asked = self.cancel_requested or self.suspend_requested or self.timed_out
        return is_asked or self.error is not None

    @property
    def output(self) -> TaskState:
        """The task whose value is the workflow's output."""
        return self.tasks[self.root]

    @property
    def has_output(self) -> bool:
        """Whether the workflow has its value; an actor has none, only a state."""
        return self.calls is None and self.output.status is TaskStatus.SUCCESSFUL

    def apply(self, record: Record) -> None:
        """Take one more record into account. Records come in the order of their ``seq``."""
        self.last_seq = record.seq
        handler = _HANDLERS.get(record.kind)
        if handler is not None and not self._comes_late(record):
            handler(self, record)
        if self.calls is not None:
            self.calls.active_at = record.time
            self.calls.sweep(self)

    def _comes_late(self, record: Record) -> bool:
        """Whether it is about a task of a call that has ended."""
        is_dropped = self.gone.get(record.task_id or "", "") is None
        return self.calls is not None and is_dropped and record.kind != Kind.TASK

    def __contains__(self, task_id: object) -> bool:
        """Whether a task has, or had, this id."""
        return task_id in self.tasks or task_id in self.gone

    def find(self, task_id: str) -> TaskState | None:
        """The task with this id, or the one that has taken its place in a chain of continuations."""
        return self.tasks.get(self.gone.get(task_id) or task_id)

    def dispatch(self, task_id: str, attempt: int) -> None:
        """Note that the present owner has an attempt of ``task_id`` under way."""
        self.ready.pop(task_id, None)
        self.delayed.pop(task_id, None)
        self.waits.ready.pop(task_id, None)
        self.in_flight[task_id] = attempt
        if self.calls is not None and is_call(self.tasks[task_id]):
            self.calls.turns.take(task_id)
        self.hosted += is_hosted(self.tasks[task_id])
        self.under_way[task_id] = UnderWay()

    def settle(self, task_id: str) -> None:
        """Note that no attempt of ``task_id`` is under way any more, and that nothing came of it.

        The next one has another number all the same, so that late messages are not taken for its own.
        """
        task = self.tasks[task_id]
        task.attempt = max(task.attempt, self.in_flight.get(task_id, 0))
        self._forget(task_id)
        self._schedule(task)
        if self.calls is not None:
            self.calls.sweep(self)

    def drop(self, task_id: str) -> None:
        """Forget a task that nobody will ask for again; its id stays known."""
        task = self.tasks.get(task_id)
        if task is not None:
            self._forget(task_id)
            self._leave_place(task)
            del self.tasks[task_id]
            self.gone[task_id] = None

    def lend(self, task_id: str) -> None:
        """Note that an attempt under way has a value, so consumers may start; it is not durable yet."""
        if self.tasks[task_id].status is TaskStatus.PENDING:
            for consumer in provisional.lend(self, task_id):
                self._schedule(consumer)

    def descendants(self, task_id: str) -> Iterator[TaskState]:
        """All tasks that exist because ``task_id`` continued as a graph, at any depth."""
        stack = list(self.tasks[task_id].children)
        while stack:
            task = self.tasks[stack.pop()]
            stack.extend(task.children)
            yield task

    def _accepted(self, record: Record) -> None:
        self.accepted = record.data
        self.workflow_id = record.data["workflow_id"]
        self.root = record.data["root"]
        self.runtime_env = json.loads(record.value) if record.value else None
        actor = record.data.get("actor")
        self.calls = None if actor is None else Calls(actor)
        self._allow_time(record)

    def _allow_time(self, record: Record) -> None:
        """The time that a workflow has is counted from when somebody asked for it."""
        seconds = self.accepted.get("workflow_timeout")
        self.deadline = None if seconds is None else record.time + seconds

    def _task(self, record: Record) -> None:
        assert record.task_id is not None
        data = record.data
        parent = data["parent"]
        call = (
            data.get("call") if parent is None else self.tasks[self.gone.get(parent) or parent].call
        )
        like = self._latest  # thousands of tasks are alike, and then share what is equal
        task = TaskState(
            record.task_id,
            _shared(data["name"], None if like is None else like.name),
            _shared(data["function"], None if like is None else like.function),
            StoredValue.from_record(data["args"], record.value),
            tuple(data["upstream"]),
            self.gone.get(parent) or parent,
            _shared(data["options"], None if like is None else like.options),
            data["metadata"],
            finally_of=data.get("finally_of"),
            watches=tuple(data.get("watches", ())),
            item=Item.from_record(data.get("item")),
            method=data.get("method"),
            call=call,
            callers=tuple(data.get("callers", ())),
        )
        if self.calls is not None:
            self.calls.add(task, data)
        if task.finally_of is not None:
            self.finals.setdefault(task.finally_of, []).append(task.task_id)
        self.tasks[task.task_id] = self._latest = task
        self.names[task.name] = self.names.get(task.name, 0) + 1
        task.resolves = self.links.pop(task.task_id, None)
        if task.parent is not None:
            self.tasks[task.parent].children.append(task.task_id)
        for upstream_id in task.upstream:
            upstream = self.tasks[upstream_id]
            upstream.unread += 1
            upstream.dependents.append(task.task_id)
            if upstream.status is not TaskStatus.SUCCESSFUL:
                task.missing += 1
                task.lent += upstream_id in self.provisional
        if task.watches:
            missing = [w for w in task.watches if self.tasks[w].status is not TaskStatus.SUCCESSFUL]
            self.waits.watch(task, missing)
            for watched in task.watches:
                self.tasks[watched].unread += 1  # for good: its value may be asked for later
        self._schedule(task)

    def _status(self, record: Record) -> None:
        self.status = WorkflowStatus(record.data["status"])
        self.has_run = self.has_run or self.status is WorkflowStatus.RUNNING
        if self.is_finished:
            self.error = record.data.get("error")

    def _started(self, record: Record) -> None:
        task = self.tasks.get(record.task_id or "")
        if task is None:  # it said so after it had been dropped from a chain
            return
        task.attempt = max(task.attempt, record.attempt or 0)
        if self.in_flight.get(task.task_id) == record.attempt:
            under_way = self.under_way[task.task_id]
            under_way.started_at = under_way.started_at or record.time

    def _succeeded(self, record: Record) -> None:
        task = self._about(record)
        task.attempt = max(task.attempt, record.attempt or 0)  # it may run again, see _resumed
        stored = record.data["value"]
        value = None if stored is None else StoredValue.from_record(stored, record.value)
        if not task.dependents:  # it may be the workflow's output
            task.preview = record.data.get("preview")
        if "signal" in record.data:
            self.waits.use(task.task_id)
        if self.calls is not None:
            self.calls.left(task, record)
        self._resolve(task, value, volatile=stored is None)
        self._forget(task.task_id)

    def _failed(self, record: Record) -> None:
        task = self._about(record)
        task.failures += 1
        task.system_failures += record.data["cause"] == "system"
        task.attempt = max(task.attempt, record.attempt or 0)
        task.heartbeat = record.data.get("heartbeat", task.heartbeat)
        self._forget(task.task_id)
        if record.data["next"] == "retry":
            task.retry_at = record.data.get("retry_at")
            self._schedule(task)
        else:
            task.status = TaskStatus.FAILED
            self._leave_place(task)
        if record.data["next"] == "call" and self.calls is not None:
            error = {"task_id": task.task_id, **record.data["error"]}
            self.calls.end(task.call or "", CallEnd(None, error))
        if record.data["next"] == "final" and self.error is None:
            self.error = {
                **record.data["error"],
                "task_id": task.task_id,
                "cause": record.data["cause"],
            }

    def _continued(self, record: Record) -> None:
        task = self._about(record)
        task.attempt = max(task.attempt, record.attempt or 0)
        task.status = TaskStatus.CONTINUED
        task.continued_to = record.data["root"]
        self.links[task.continued_to] = task.task_id
        self._forget(task.task_id)
        if self.calls is not None:
            self.calls.left(task, record)
            if is_call(task):
                self.calls.turns.take(task.task_id)  # until its graph has ended
            else:
                self._leave_place(task)  # other methods of its call may run for it
        if task.finally_of is None:  # else it may begin anew, see _resumed
            self._read_inputs(task)
        chains.shorten(self, task)

    def _task_canceled(self, record: Record) -> None:
        task = self._about(record)
        task.status = TaskStatus.CANCELED
        self._leave_place(task)
        self.ready.pop(task.task_id, None)
        self.delayed.pop(task.task_id, None)
        self.waits.end(task.task_id)
        provisional.withdraw(self, task.task_id)
        if record.attempt is not None:  # the attempt itself is gone, not only unwanted
            self.settle(task.task_id)

    def _waiting(self, record: Record) -> None:
        task = self._about(record)
        self.delayed.pop(task.task_id, None)
        self.waits.begin(task, record)

    def _signaled(self, record: Record) -> None:
        self.waits.signaled(record)

    def _heartbeat(self, record: Record) -> None:
        self._about(record).heartbeat = record.data["details"]
        self.settle(self._about(record).task_id)  # it is the last of an attempt that is gone

    def _progress(self, record: Record) -> None:
        self._about(record).progress = StoredValue.from_record(record.data["value"], record.value)

    def _child(self, record: Record) -> None:
        self.children[record.data["child"]] = record.data

    def _timed_out(self, record: Record) -> None:
        self.timed_out = True

    def _cancel_requested(self, record: Record) -> None:
        self.cancel_requested = True

    def _suspend_requested(self, record: Record) -> None:
        self.suspend_requested = True

    def _resumed(self, record: Record) -> None:
        self.error = None
        self.suspend_requested = self.timed_out = False
        self.status = WorkflowStatus.RUNNING
        if record.data.get("asked"):
            self._allow_time(record)
            for task in self.tasks.values():
                task.failures = task.system_failures = 0
        for task_id in record.data["reset"]:
            chains.begin_anew(self, task_id)
        resets = [self.tasks[task_id] for task_id in record.data["reset"] if task_id in self.tasks]
        for task in resets:
            was_successful = task.status is TaskStatus.SUCCESSFUL
            task.status = TaskStatus.CONTINUED if task.continued_to else TaskStatus.PENDING
            task.failures = task.system_failures = 0
            task.value = task.retry_at = None
            self._forget(task.task_id)
            if was_successful:
                for dependent in task.dependents:
                    self._unready(self.tasks[dependent])
        for task in resets:
            self._schedule(task)

    def _about(self, record: Record) -> TaskState:
        assert record.task_id is not None
        return self.tasks[record.task_id]

    def _forget(self, task_id: str) -> None:
        """An attempt has ended: the task is neither ready, nor waiting, nor under way."""
        self.ready.pop(task_id, None)
        self.delayed.pop(task_id, None)
        if self.in_flight.pop(task_id, None) is not None:
            self.hosted -= is_hosted(self.tasks[task_id])
        self.waits.end(task_id)
        self.under_way.pop(task_id, None)
        self.outdated.discard(task_id)
        provisional.withdraw(self, task_id)

    def _unready(self, task: TaskState) -> None:
        task.missing += 1
        self.ready.pop(task.task_id, None)
        self.waits.ready.pop(task.task_id, None)
        self.delayed.pop(task.task_id, None)

    def _schedule(self, task: TaskState) -> None:
        """Have a task that waits for nothing but its time, if it waits at all, run again.

        A ``finally_`` task waits for the end of all others (:mod:`rayflow.core.finals`).
        """
        if task.finally_of is not None:
            return
        if task.status is not TaskStatus.PENDING or task.task_id in self.in_flight:
            return
        if not provisional.may_start(task) or task.task_id in self.waits:
            return
        if self.calls is not None and is_call(task):
            self.calls.turns.queue(task.task_id)
            return
        if not self.places.take(task.task_id, place_of(task)):
            return
        if task.retry_at is None:
            (self.ready if spec(task) is None else self.waits.ready)[task.task_id] = None
        else:
            self.delayed[task.task_id] = task.retry_at

    def _leave_place(self, task: TaskState) -> None:
        """The next item of its list may run."""
        following = self.places.leave(task.task_id, place_of(task))
        if following is not None:
            self._schedule(self.tasks[following])

    def _resolve(self, task: TaskState, value: StoredValue | None, *, volatile: bool) -> None:
        """Give ``task`` its value, and every task that waited to be replaced by it, iteratively."""
        current: TaskState | None = task
        while current is not None and current.status is not TaskStatus.SUCCESSFUL:
            # A finally_ task may run again for another end, and needs its inputs then.
            keeps = volatile or current.finally_of is not None
            if current.status is not TaskStatus.CONTINUED and not keeps:
                self._read_inputs(current)
            current.status = TaskStatus.SUCCESSFUL
            self._leave_place(current)
            current.value, current.volatile = value, volatile
            if self.calls is not None:
                self.calls.end(current.task_id, CallEnd(value))
            self.waits.resolved(current.task_id)
            was_lent = current.task_id in self.provisional
            self.provisional.pop(current.task_id, None)
            for dependent_id in current.dependents:
                dependent = self.tasks[dependent_id]
                dependent.missing -= 1
                dependent.lent -= was_lent
                self._schedule(dependent)
            current = self.tasks[current.resolves] if current.resolves is not None else None

    def _read_inputs(self, task: TaskState) -> None:
        """A consumer is done: forget inline values that nobody else will read (they are in the journal)."""
        for upstream_id in task.upstream:
            upstream = self.tasks[upstream_id]
            upstream.unread -= 1
            if not upstream.unread and upstream.value is not None and upstream_id != self.root:
                kept = upstream.value
                upstream.value = StoredValue(kept.format, kept.size, kept.crc, None, kept.key)


def _shared(new: T, like: T | None) -> T:
    """``like``, if it is equal: so what is equal is kept once."""
    return like if like == new and like is not None else new


_HANDLERS: dict[str, Callable[[WorkflowState, Record], None]] = {
    Kind.ACCEPTED: WorkflowState._accepted,
    Kind.TASK: WorkflowState._task,
    Kind.STATUS: WorkflowState._status,
    Kind.STARTED: WorkflowState._started,
    Kind.SUCCEEDED: WorkflowState._succeeded,
    Kind.FAILED: WorkflowState._failed,
    Kind.CONTINUED: WorkflowState._continued,
    Kind.TASK_CANCELED: WorkflowState._task_canceled,
    Kind.CANCEL_REQUESTED: WorkflowState._cancel_requested,
    Kind.SUSPEND_REQUESTED: WorkflowState._suspend_requested,
    Kind.RESUMED: WorkflowState._resumed,
    Kind.HEARTBEAT: WorkflowState._heartbeat,
    Kind.TIMED_OUT: WorkflowState._timed_out,
    Kind.WAITING: WorkflowState._waiting,
    Kind.SIGNALED: WorkflowState._signaled,
    Kind.PROGRESS: WorkflowState._progress,
    Kind.CHILD: WorkflowState._child,
}


def fold(records: Iterable[Record]) -> WorkflowState:
    """The state after ``records``, which start at sequence 1 and have no gaps."""
    state = WorkflowState()
    for record in records:
        state.apply(record)
    return state
