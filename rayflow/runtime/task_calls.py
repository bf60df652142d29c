"""What a worker is given for an attempt, made of the state of its workflow."""

from __future__ import annotations

from collections.abc import Callable

from rayflow.core.actors import MIGRATION
from rayflow.core.state import WorkflowState
from rayflow.core.tasks import TaskState
from rayflow.runtime.live_values import LiveValues
from rayflow.runtime.surroundings import Surroundings
from rayflow.runtime.worker import TaskCall


def call_of(
    state: WorkflowState,
    values: LiveValues,
    around: Surroundings,
    task: TaskState,
    attempt: int,
    token: str,
    epoch: int,
) -> TaskCall:
    """Everything that attempt number ``attempt`` of ``task`` needs; ``token`` and ``epoch`` are its owner's."""
    options, calls = task.options, state.calls
    checkpoint = options["checkpoint"]
    is_method = calls is not None and task.method is not None
    return TaskCall(
        around.storage,
        state.workflow_id,
        task.task_id,
        attempt,
        _function(state, task),
        task.args,
        tuple(values.stored(state.tasks[u]) for u in task.upstream),
        bool(options["catch_exceptions"]),
        True if checkpoint is None else checkpoint,
        token,
        options.get("judge"),
        heartbeat=task.heartbeat,
        heartbeat_timeout=options.get("heartbeat_timeout"),
        is_timed=options.get("timeout") is not None,
        listener=around.listener,
        old_names=bool(state.accepted.get("old_names")),
        progress=task.progress,
        item=None if task.item is None else task.item.at,
        method=task.method,
        state=calls.state if calls is not None and is_method else None,
        callers=_callers(state, task),
        submission=str(state.accepted.get("submission", "")),
        may_share=may_share(task),
        epoch=epoch,
    )


def may_share(task: TaskState) -> bool:
    """Whether an attempt may have its worker together with others (:mod:`rayflow.runtime.bundles`).

    Not if it must not run twice whatever happens to the worker, nor if it may have to be stopped.
    """
    options, rule = task.options, task.options.get("retry")
    again = options["max_retries"] if rule is None else rule["system_attempts"] - 1
    is_limited = options.get("timeout") is not None or options.get("heartbeat_timeout") is not None
    is_plain = task.method is None and not options.get("effect") and not is_limited
    return bool(is_plain and again and options.get("bundle") is not False)


def may_follow(task: TaskState, is_short: Callable[[str], bool]) -> bool:
    """Whether an attempt may run behind that of another task in the same worker."""
    return may_share(task) and task.call is None and is_short(task.function)


def _callers(state: WorkflowState, task: TaskState) -> tuple[str, ...]:
    """The actors whose methods may wait for ``task``."""
    if task.call is None:
        return ()
    return (*state.tasks[task.call].callers, state.workflow_id)


def _function(state: WorkflowState, task: TaskState) -> str:
    """The code of a task. A method is that of the class which the actor has when its turn comes."""
    is_method = task.method is not None and task.method != MIGRATION
    has_class = state.calls is not None and state.calls.code
    return state.calls.code if state.calls and is_method and has_class else task.function
