"""``get_metadata``: the old library's shape, made from a journal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rayflow.core.records import Kind, Record, WorkflowStatus
from rayflow.runtime import environment

_ENDS = (WorkflowStatus.SUCCESSFUL, WorkflowStatus.FAILED)
_ENDS_OF_ATTEMPTS: dict[str, str] = {
    Kind.SUCCEEDED: "SUCCESSFUL",
    Kind.CONTINUED: "SUCCESSFUL",
    Kind.FAILED: "FAILED",
    Kind.TASK_CANCELED: "CANCELED",
}


def of_workflow(records: Sequence[Record], status: str) -> dict[str, Any]:
    """Status, user metadata and times (Unix seconds) of a workflow (``ray-workflows`` 3.1).

    Of a child workflow its ``parent``, and of a workflow that has some its ``children`` besides.
    """
    user_metadata: dict[str, Any] = {}
    stats: dict[str, float] = {}
    family: dict[str, Any] = {}
    for record in records:
        if record.kind == Kind.ACCEPTED:
            user_metadata = record.data["metadata"]
            if "parent" in record.data:
                family["parent"] = record.data["parent"]
        elif record.kind == Kind.CHILD:
            child = {**record.data, "task_id": record.task_id}
            family.setdefault("children", []).append(child)
        elif record.kind == Kind.STATUS:
            now = record.data["status"]
            if now == WorkflowStatus.RUNNING:
                stats = {"start_time": record.time}
            elif now == WorkflowStatus.PENDING:
                stats = {}
            elif now in _ENDS:
                stats["end_time"] = record.time
    return {"status": status, "user_metadata": user_metadata, "stats": stats, **family}


def of_task(
    records: Sequence[Record], workflow_id: str, task_id: str, status: str
) -> dict[str, Any]:
    """Options, user metadata, upstream tasks, times and attempts of a task (``ray-workflows`` 3.1).

    ``status`` is the workflow's: attempts of one that is not live do not run.

    Raises:
        ValueError: the workflow has no such task.
    """
    mine = [record for record in records if record.task_id == task_id]
    declared = next((r.data for r in mine if r.kind == Kind.TASK), None)
    if declared is None:
        raise ValueError(f"No such task_id '{task_id}' in workflow '{workflow_id}'")
    attempts = _attempts(mine)
    if attempts and not WorkflowStatus(status).is_live:
        _interrupt(attempts[-1])
    stats: dict[str, float] = {}
    if attempts:
        last = attempts[-1]
        stats["start_time"] = last["start_time"]
        if last["status"] == "SUCCESSFUL":
            stats["end_time"] = last["end_time"]
    options = declared["options"]
    found = {
        "task_id": task_id,
        "name": declared["name"],
        "task_options": {
            "task_type": _task_type(declared),
            "max_retries": options["max_retries"],
            "catch_exceptions": bool(options["catch_exceptions"]),
            "retry_exceptions": options["retry_exceptions"],
            "checkpoint": True if options["checkpoint"] is None else options["checkpoint"],
            "ray_options": environment.without_secrets(options["ray"]),
        },
        "user_metadata": declared["metadata"],
        "workflow_refs": declared["upstream"],
        "stats": stats,
        "attempts": attempts,
    }
    if options.get("wait") is not None:
        found["wait"] = _wait(options["wait"], mine)
    if items := _items(records, task_id):
        found["items"] = items
    return found


def _items(records: Sequence[Record], task_id: str) -> dict[str, int]:
    """How many items a list has that a task has mapped, and what has become of them; empty if it has none."""
    states: dict[str | None, str] = {}
    for record in records:
        if record.kind == Kind.TASK and record.data.get("item", {}).get("of") == task_id:
            states[record.task_id] = "waiting"
        elif record.task_id in states:
            states[record.task_id] = _state_of_item(record, states[record.task_id])
    if not states:
        return {}
    counts = {"total": len(states), "successful": 0, "failed": 0, "running": 0, "waiting": 0}
    for state in states.values():
        counts[state] += 1
    return counts


def _state_of_item(record: Record, before: str) -> str:
    match record.kind:
        case Kind.STARTED | Kind.CONTINUED:
            return "running"
        case Kind.SUCCEEDED:
            return "failed" if record.data["caught"] else "successful"
        case Kind.FAILED:
            return "waiting" if record.data["next"] == "retry" else "failed"
        case Kind.TASK_CANCELED:
            return "failed"
    return before


def _task_type(declared: Mapping[str, Any]) -> str:
    if declared.get("method") is not None:
        return "ACTOR_METHOD"
    wait = declared["options"].get("wait")
    return "FUNCTION" if wait is None else str(wait["kind"].upper())


def _wait(spec: Mapping[str, Any], records: Sequence[Record]) -> dict[str, Any]:
    """What a task waits for, until when, and whose message has ended it (Unix seconds)."""
    told = {"state": "PENDING", "until": None, "by": None, "at": None}
    for record in records:
        if record.kind == Kind.WAITING:
            told |= {"state": "WAITING", "until": record.data["until"]}
        elif record.kind == Kind.SUCCEEDED:
            data = record.data
            told |= {"state": "MET", "by": data.get("by"), "at": data.get("at", record.time)}
        elif record.kind in (Kind.FAILED, Kind.TASK_CANCELED):
            told["state"] = "EXPIRED" if record.kind == Kind.FAILED else "CANCELED"
    return {**spec, **told}


def _attempts(records: Sequence[Record]) -> list[dict[str, Any]]:
    """The attempts of a task, oldest first, from the records about it."""
    found: list[dict[str, Any]] = []
    for record in records:
        ended = _ENDS_OF_ATTEMPTS.get(record.kind)
        is_open = bool(found) and found[-1]["status"] == "RUNNING"
        if record.kind == Kind.STARTED:
            if is_open:
                _interrupt(found[-1])
            found.append(_attempt(record, "RUNNING"))
        elif ended is None or record.data.get("caught"):
            continue  # what a catching task is given is no attempt of its own
        elif is_open:
            found[-1] = {**_attempt(record, ended), "start_time": _begin(record, found[-1])}
        elif ended != "CANCELED":  # one that was not seen to run
            found.append(_attempt(record, ended))
    return found


def _attempt(record: Record, status: str) -> dict[str, Any]:
    data = record.data
    is_over = status != "RUNNING"
    return {
        "attempt": record.attempt,
        "status": status,
        "start_time": data.get("started_at", record.time),
        "end_time": data.get("finished_at", record.time) if is_over else None,
        "error": data.get("error"),
        "node": data.get("node"),
        "pid": data.get("pid"),
    }


def _begin(record: Record, seen: dict[str, Any]) -> float:
    begin: float = record.data.get("started_at", seen["start_time"])
    return begin


def _interrupt(attempt: dict[str, Any]) -> None:
    if attempt["status"] == "RUNNING":
        attempt["status"] = "INTERRUPTED"
