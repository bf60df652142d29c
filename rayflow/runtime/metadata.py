"""``get_metadata``: the old library's shape, made from a journal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rayflow.core.records import Kind, Record, WorkflowStatus

_ENDS = (WorkflowStatus.SUCCESSFUL, WorkflowStatus.FAILED, WorkflowStatus.RESUMABLE)


def of_workflow(records: Sequence[Record], status: str) -> dict[str, Any]:
    """Status, user metadata and times (Unix seconds) of a workflow (``ray-workflows`` 3.1)."""
    user_metadata: dict[str, Any] = {}
    stats: dict[str, float] = {}
    for record in records:
        if record.kind == Kind.ACCEPTED:
            user_metadata = record.data["metadata"]
        elif record.kind == Kind.STATUS:
            now = record.data["status"]
            if now == WorkflowStatus.RUNNING:
                stats = {"start_time": record.time}
            elif now in _ENDS:
                stats["end_time"] = record.time
    return {"status": status, "user_metadata": user_metadata, "stats": stats}


def of_task(records: Sequence[Record], workflow_id: str, task_id: str) -> dict[str, Any]:
    """Options, user metadata, upstream tasks, times and attempts of a task (``ray-workflows`` 3.1).

    Raises:
        ValueError: the workflow has no such task.
    """
    mine = [record for record in records if record.task_id == task_id]
    declared = next((r.data for r in mine if r.kind == Kind.TASK), None)
    if declared is None:
        raise ValueError(f"No such task_id '{task_id}' in workflow '{workflow_id}'")
    attempts = [
        _attempt(r) for r in mine if r.kind in (Kind.SUCCEEDED, Kind.FAILED, Kind.CONTINUED)
    ]
    stats: dict[str, float] = {}
    if attempts:
        last = attempts[-1]
        stats["start_time"] = last["start_time"]
        if last["error"] is None:
            stats["end_time"] = last["end_time"]
    options = declared["options"]
    return {
        "task_id": task_id,
        "name": declared["name"],
        "task_options": {
            "task_type": "FUNCTION",
            "max_retries": options["max_retries"],
            "catch_exceptions": bool(options["catch_exceptions"]),
            "retry_exceptions": options["retry_exceptions"],
            "checkpoint": True if options["checkpoint"] is None else options["checkpoint"],
            "ray_options": options["ray"],
        },
        "user_metadata": declared["metadata"],
        "workflow_refs": declared["upstream"],
        "stats": stats,
        "attempts": attempts,
    }


def _attempt(record: Record) -> dict[str, Any]:
    data = record.data
    return {
        "attempt": record.attempt,
        "start_time": data.get("started_at", record.time),
        "end_time": data.get("finished_at", record.time),
        "error": data.get("error"),
        "node": data.get("node"),
        "pid": data.get("pid"),
    }
