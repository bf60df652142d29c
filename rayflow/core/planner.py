"""The planner: from a state to what is to be done next. A pure function; doing it is elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from rayflow.core import finals
from rayflow.core.actors import Calls
from rayflow.core.deadlines import StopTask, WakeAt, error_of_workflow, overdue, stops
from rayflow.core.records import Fact, Kind, WorkflowStatus
from rayflow.core.state import WorkflowState
from rayflow.core.tasks import TaskState, TaskStatus
from rayflow.core.waits import BeginWait, EndWait, How, has_body, is_hosted, spec


@dataclass(slots=True)
class StartTask:
    """Start attempt number ``attempt`` of a task whose inputs are all there.

    They are durable, unless they come from tasks with ``checkpoint="async"``.
    """

    task_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Finish:
    """Write down that the workflow has ended."""

    status: WorkflowStatus
    error: dict[str, Any] | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class TimeOut:
    """Write down that the workflow has used up its time."""


REST_AFTER_SECONDS = 1.0

Command = StartTask | StopTask | BeginWait | EndWait | Finish | TimeOut | WakeAt

SUSPENDED = Finish(WorkflowStatus.RESUMABLE, reason="suspended")
STUCK: tuple[Command] = (
    Finish(
        WorkflowStatus.FAILED,
        {
            "type": "WorkflowStuck",
            "message": "no task can run: every one left waits for a task that will never have a value",
            "traceback": None,
            "task_id": None,
            "cause": "application",
        },
    ),
)


def plan(state: WorkflowState, now: float, *, window: int) -> list[Command]:
    """What to do next.

    Args:
        state: the fold of everything committed so far.
        now: Unix time in seconds.
        window: how many attempts of this workflow may be under way at once.
    """
    if state.status is not WorkflowStatus.RUNNING:
        return _plan_pending(state, now)
    if state.cancel_requested:
        return _wind_up(state, now, window, Finish(WorkflowStatus.CANCELED))
    if state.timed_out and not state.has_output:  # though a finally_ task may have failed since
        return _wind_up(state, now, window, _timed_out(state))
    if state.error is not None:
        end = Finish(_failure_status(state.error), state.error)
        return _wind_up(state, now, window, end)
    if state.has_output:
        return _wind_up(state, now, window, Finish(WorkflowStatus.SUCCESSFUL))
    if state.suspend_requested:
        return _stop_or(state, SUSPENDED, now)
    commands = [*_must_stop(state, now), *_turns(state, now), *_starts(state, now, window)]
    is_idle = not (commands or state.in_flight or state.ready or state.waits)
    if is_idle and state.calls is not None and not state.calls.open:
        return _rest(state.calls, now)
    return [*_out_of_time(state, now), *(STUCK if is_idle else commands)]


def foreseen_end(state: WorkflowState, facts: Sequence[Fact]) -> Fact | None:
    """The end of the workflow, if ``facts`` lead to it and to nothing else: it is recorded with them.

    That is so for the value of the workflow's own task when nothing else is under way or still to be run.
    """
    if len(facts) != 1 or facts[0].kind is not Kind.SUCCEEDED or facts[0].task_id != state.root:
        return None
    is_alone = not (state.in_flight.keys() - {state.root}) and not state.finals
    is_running = state.status is WorkflowStatus.RUNNING and state.calls is None
    if state.is_ending or not is_running or not is_alone:
        return None
    data = {"reason": None, "error": None, "output": facts[0].data["preview"]}
    return Fact(Kind.STATUS, data={"status": str(WorkflowStatus.SUCCESSFUL), **data})


def lost_values(state: WorkflowState, again: Iterable[str] = ()) -> list[str]:
    """Tasks that must run again because an unfinished consumer needs a value that was not stored.

    Such are results of ``checkpoint=False`` tasks whose owner is gone (``ray-workflows`` 1.8).
    ``again``: tasks that have ended badly and will have another chance, so they are consumers too.
    """
    pending = (t for t in state.tasks.values() if t.status is TaskStatus.PENDING)
    needed = [t for t in pending if t.finally_of is None and t.task_id not in state.waits.until]
    needed += [state.tasks[task_id] for task_id in again]
    output = [state.root] if state.root and state.calls is None else []
    stack = [u for task in needed for u in task.upstream] + output
    return unstored(state, stack)


def unstored(state: WorkflowState, task_ids: Iterable[str]) -> list[str]:
    """What must run again so that ``task_ids`` have their values, if all that is not stored is lost."""
    stack = list(task_ids)
    lost: dict[str, None] = {}
    while stack:
        task = state.tasks[stack.pop()]
        if task.task_id in lost or task.status is not TaskStatus.SUCCESSFUL or not task.volatile:
            continue
        lost[task.task_id] = None
        stack.extend([task.continued_to] if task.continued_to else task.upstream)
    return list(lost)


def failed_tasks(state: WorkflowState) -> list[str]:
    """Tasks that a resume gives another chance: failed ones and those stopped because of them."""
    again = (TaskStatus.FAILED, TaskStatus.CANCELED)
    return [
        task.task_id
        for task in state.tasks.values()
        if task.status in again and not is_abandoned(state, task.parent)
    ]


def is_abandoned(state: WorkflowState, parent: str | None) -> bool:
    """Whether an ancestor has its value already (it caught an error), so nobody needs this task."""
    while parent is not None:
        task = state.tasks[parent]
        if task.status is TaskStatus.SUCCESSFUL:
            return True
        parent = task.parent
    return False


def _plan_pending(state: WorkflowState, now: float) -> list[Command]:
    if state.status is not WorkflowStatus.PENDING:
        return []
    if (state.cancel_requested or state.timed_out) and state.has_run and finals.due(state):
        return []  # they have their turn when the workflow has
    if state.cancel_requested:
        return [Finish(WorkflowStatus.CANCELED)]
    if state.timed_out:
        return [_timed_out(state)]
    if state.suspend_requested:
        return [SUSPENDED]
    return _out_of_time(state, now)


def _out_of_time(state: WorkflowState, now: float) -> list[Command]:
    if state.deadline is None:
        return []
    return [TimeOut() if state.deadline <= now else WakeAt(state.deadline)]


def _timed_out(state: WorkflowState) -> Finish:
    return Finish(WorkflowStatus.FAILED, error_of_workflow(state))


def _failure_status(error: dict[str, Any]) -> WorkflowStatus:
    system = error.get("cause") == "system"
    return WorkflowStatus.RESUMABLE if system else WorkflowStatus.FAILED


def _stop_or(state: WorkflowState, finish: Finish, now: float) -> list[Command]:
    """Nothing of a workflow may be under way when it ends."""
    if state.in_flight:
        return [*stops(state, state.in_flight, now)]
    return [finish]


def _wind_up(state: WorkflowState, now: float, window: int, end: Finish) -> list[Command]:
    """Stop what is under way, then run the ``finally_`` tasks, then end."""
    others = [t for t in state.in_flight if state.tasks[t].finally_of is None]
    if others:
        return [*stops(state, others, now)]
    waiting = [t for t in finals.due(state) if t.task_id not in state.in_flight]
    if not waiting and not state.in_flight:
        return [end]
    later = [t.retry_at for t in waiting if t.retry_at is not None and t.retry_at > now]
    ready = [t for t in waiting if t.retry_at is None or t.retry_at <= now]
    commands = _must_stop(state, now)
    new = [t for t in ready if t.task_id not in state.waits]
    commands += [_begin(t) for t in new if spec(t) is not None]
    commands += [_begin(t) for t in new if spec(t) is None][: _room(state, window)]
    commands += [c for c in _ends_of_waits(state, now) if _is_final(state, c)]
    return [*commands, WakeAt(min(later))] if later else commands


def _must_stop(state: WorkflowState, now: float) -> list[Command]:
    """Attempts that nobody wants any more, and those that take too long."""
    unwanted: list[str] = []
    wanted: list[str] = []
    for task_id in state.in_flight:
        task = state.tasks[task_id]
        if task.status is TaskStatus.CANCELED or task_id in state.outdated:
            unwanted.append(task_id)
        elif task.is_limited or state.under_way[task_id].means is not None:
            wanted.append(task_id)
    return [*stops(state, unwanted, now), *overdue(state, wanted, now)]


def _begin(task: TaskState) -> Command:
    """The first step of a task that waits for nothing any more, or of one whose work is to wait."""
    return StartTask(task.task_id, task.attempt + 1) if has_body(task) else BeginWait(task.task_id)


def _room(state: WorkflowState, window: int) -> int:
    """How many more attempts may start.

    Attempts whose inputs were lost end only when these are there again, so they must not keep the
    tasks that make them from running.
    """
    room = window - len(state.in_flight) + state.hosted
    return room if room > 0 else int(not any(_can_end(state, t) for t in state.in_flight))


def _can_end(state: WorkflowState, task_id: str) -> bool:
    task = state.tasks[task_id]
    return task.missing == 0 and not is_hosted(task)


def _ends_of_waits(state: WorkflowState, now: float) -> list[Command]:
    """Waits that are over, and when to look at the others again."""
    waits, commands = state.waits, list[Command]()
    over: list[tuple[str, How]] = [(task_id, "met") for task_id in waits.met]
    over += [(task_id, "expired") for task_id in waits.expired(now)]
    for task_id, how in over:
        if task_id not in state.in_flight:
            commands.append(EndWait(task_id, state.tasks[task_id].attempt + 1, how))
    alarm = waits.next_alarm(now)
    return commands if alarm is None else [*commands, WakeAt(alarm)]


def _is_final(state: WorkflowState, command: Command) -> bool:
    """Whether ``command`` is about a ``finally_`` task, if it is about any."""
    return not isinstance(command, EndWait) or state.tasks[command.task_id].finally_of is not None


def _starts(state: WorkflowState, now: float, window: int) -> list[Command]:
    due = [task_id for task_id, when in state.delayed.items() if when <= now]
    chosen = (*islice(chain(due, state.ready), _room(state, window)), *state.waits.ready)
    commands = [_begin(state.tasks[t]) for t in chosen if t not in state.waits]
    if state.delayed and len(due) < len(state.delayed):
        commands.append(WakeAt(min(when for when in state.delayed.values() if when > now)))
    return commands + _ends_of_waits(state, now)


def _turns(state: WorkflowState, now: float) -> list[Command]:
    """The calls of an actor that have their turn now. One that has failed before has it alone."""
    commands: list[Command] = []
    waiting = [] if state.calls is None else state.calls.turns.waiting
    tasks = [state.tasks[call] for call in waiting]
    for task in tasks:
        if commands and (task.failures or task.options["ray"] != tasks[0].options["ray"]):
            break
        if task.retry_at is not None and task.retry_at > now:
            return [*commands, WakeAt(task.retry_at)]
        commands.append(_begin(task))
        if task.failures:
            break
    return commands


def _rest(calls: Calls, now: float) -> list[Command]:
    """An actor that has nothing to do says so when nobody has called it for a moment."""
    due = calls.active_at + REST_AFTER_SECONDS
    may_rest = calls.leaves or due <= now
    return [Finish(WorkflowStatus.SUCCESSFUL) if may_rest else WakeAt(due)]
