"""Stories of workflows for the fake engine, and what the registry holds of them."""

from __future__ import annotations

from typing import Any

from django.forms.models import model_to_dict

from tests.web.fake_gateway import FakeGateway
from workflows_app.models import Task, TaskAttempt, Workflow, WorkflowEvent

ERROR = {"type": "ValueError", "message": "bad", "traceback": "Traceback …", "task_id": "fit"}


def begin(engine: FakeGateway, workflow_id: str = "w1", tasks: tuple[str, ...] = ("fit",)) -> None:
    """A workflow that runs, with pending tasks."""
    engine.write(
        workflow_id,
        "accepted",
        workflow_id=workflow_id,
        root=tasks[-1],
        definition="digits",
        params={"folds": 3},
        metadata={"team": "ml"},
        tags={"run": "1"},
        created_by="omar",
        task_count=len(tasks),
    )
    for task in tasks:
        engine.write(
            workflow_id,
            "task",
            task,
            name=task.split("_")[0],
            upstream=[],
            parent=None,
            metadata={"m": 1},
            options={"max_retries": 3},
        )
    engine.write(workflow_id, "status", status="RUNNING")


def counters(workflow_id: str = "w1") -> dict[str, int]:
    """The workflow's task counters, checked against the tasks themselves."""
    workflow = Workflow.objects.get(workflow_id=workflow_id)
    names = ("pending", "running", "successful", "failed", "canceled")
    found = {name: int(getattr(workflow, f"tasks_{name}")) for name in names}
    for name in names:
        assert workflow.tasks.filter(status=name.upper()).count() == found[name]
    assert workflow.tasks_total == sum(found.values())
    return {name: n for name, n in found.items() if n}


def rows() -> dict[str, Any]:
    """All projected rows, without their database ids."""

    def of(row: Any, **more: Any) -> dict[str, Any]:
        fields = model_to_dict(row)
        for key in ("id", "workflow", "task"):
            fields.pop(key, None)
        return {**fields, **more}

    return {
        "workflows": [of(row) for row in Workflow.objects.order_by("workflow_id")],
        "tasks": [
            of(row, of=row.workflow.workflow_id)
            for row in Task.objects.order_by("workflow__workflow_id", "id")
        ],
        "attempts": [
            of(row, of=row.task.task_id)
            for row in TaskAttempt.objects.order_by(
                "task__workflow__workflow_id", "task_id", "number"
            )
        ],
        "events": [
            of(row, of=row.workflow.workflow_id)
            for row in WorkflowEvent.objects.order_by("workflow__workflow_id", "seq")
        ],
    }
