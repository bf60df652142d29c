"""The first generation of the API, whose management functions give references instead of values.

For programs of that time::

    from rayflow.compat import steps_api as workflow

Everything that is not different here is ``rayflow.workflow``'s.

Source: seed 001, "Management API"; ``ray-workflows`` 2.8 and 3.2.
"""

from __future__ import annotations

from typing import Any

from rayflow import api
from rayflow import workflow as _workflow
from rayflow.core.records import WorkflowStatus
from rayflow.errors import WorkflowNotFoundError, WorkflowNotResumableError


class Resumed(list[tuple[str, Any]]):
    """Pairs of an id and a reference to the output; one of them can also be asked for by its id."""

    def get(self, workflow_id: str) -> Any:
        """The reference to the output of a workflow, or None if it was not resumed."""
        return dict(self).get(workflow_id)


def __getattr__(name: str) -> Any:
    return getattr(_workflow, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *dir(_workflow)})


def resume(workflow_id: str) -> Any:
    """Resume a workflow and return an ``ObjectRef`` to its output.

    Raises:
        ValueError: there is nothing to resume under this id.
        WorkflowRunningError: it is running (a ``RuntimeError``).
    """
    try:
        return api.resume_async(workflow_id)
    except WorkflowNotResumableError as error:
        raise ValueError(str(error)) from error


def resume_all(include_failed: bool = False) -> Resumed:
    """Resume every RESUMABLE workflow, on request the FAILED ones too."""
    return Resumed(api.resume_all(include_failed))


def get_output(workflow_id: str, name: str | None = None) -> Any:
    """An ``ObjectRef`` to the output of a workflow, or of the step called ``name``.

    Raises:
        ValueError: no workflow has this id, or it was cancelled.
    """
    try:
        status = api.get_status(workflow_id)
    except WorkflowNotFoundError as error:
        raise ValueError(str(error)) from error
    if status is WorkflowStatus.CANCELED:
        raise ValueError(f"Workflow '{workflow_id}' was cancelled; it has no output.")
    return api.get_output_async(workflow_id, task_id=name)


def get_metadata(workflow_id: str, name: str | None = None) -> dict[str, Any]:
    """Status, user metadata and times of a workflow, or options and times of a step.

    The options of a step are in ``step_options``, and beside it, as the first releases had them.

    Raises:
        ValueError: no such workflow or step.
    """
    try:
        found = api.get_metadata(workflow_id, name)
    except ValueError as error:
        raise ValueError(_without_quotes(str(error), workflow_id, name)) from None
    if name is None:
        return found
    options = found["task_options"]
    shown = {
        "step_type": options["task_type"],
        "max_retries": options["max_retries"],
        "catch_exceptions": options["catch_exceptions"],
        "checkpoint": options["checkpoint"],
        "ray_options": options["ray_options"],
    }
    return {
        **shown,
        "name": found["name"],
        "workflows": found["workflow_refs"],
        "workflow_refs": [],
        "step_options": shown,
        "user_metadata": found["user_metadata"],
        "stats": found["stats"],
        "attempts": found["attempts"],
    }


def _without_quotes(text: str, workflow_id: str, name: str | None) -> str:
    if "task_id" in text:
        return f"No such step_id {name} in workflow {workflow_id}"
    return f"No such workflow_id {workflow_id}"
