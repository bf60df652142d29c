"""What a resume would need and the storage does not have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from rayflow.core.foresight import ResumePlan, foresee
from rayflow.core.records import WorkflowStatus
from rayflow.core.state import WorkflowState
from rayflow.core.tasks import TaskState
from rayflow.runtime import environment
from rayflow.storage import layout
from rayflow.storage.store import Store


def plan_resume(store: Store, state: WorkflowState, status: WorkflowStatus) -> ResumePlan:
    """The plan of a resume, checked against the storage."""
    return checked(store, state, foresee(state, status))


def checked(store: Store, state: WorkflowState, plan: ResumePlan) -> ResumePlan:
    """``plan`` with what its tasks need and the storage does not have."""
    needs: dict[str, str] = {}
    for task_id in plan.runs:
        for key, what in _needs(state, state.tasks[task_id]):
            needs.setdefault(key, what)
    missing = (
        f"{what} is missing in the storage: {key}"
        for key, what in needs.items()
        if store.size(key) is None
    )
    return replace(plan, missing=tuple(missing))


def _needs(state: WorkflowState, task: TaskState) -> Iterator[tuple[str, str]]:
    """The keys that an attempt of ``task`` reads, and what each of them is."""
    of_task = f"of task '{task.task_id}'"
    yield layout.function(task.function), f"The code {of_task}"
    if task.options.get("judge"):
        yield layout.function(task.options["judge"]), f"The code that judges exceptions {of_task}"
    if task.args.key is not None:
        yield task.args.key, f"The arguments {of_task}"
    for upstream_id in task.upstream:
        value = state.tasks[upstream_id].value
        if value is not None and value.key is not None:
            yield value.key, f"The value of task '{upstream_id}'"
    for uri in environment.uris([state.runtime_env, task.options["ray"].get("runtime_env")]):
        yield environment.key_of(uri), f"A package of the runtime_env {of_task}"
