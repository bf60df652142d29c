"""What get_metadata makes of a journal."""

from __future__ import annotations

from typing import Any

from rayflow.core.records import Kind, Record
from rayflow.runtime.metadata import of_task, of_workflow


def record(
    kind: Kind, time: float, task: str | None = None, attempt: int | None = None, **data: Any
) -> Record:
    return Record(1, time, kind, task, attempt, data)


def status(time: float, status: str) -> Record:
    return record(Kind.STATUS, time, status=status)


def task(*records: Record, status: str = "RUNNING") -> dict[str, Any]:
    options = {
        "max_retries": 3,
        "catch_exceptions": None,
        "retry_exceptions": False,
        "checkpoint": None,
        "ray": {},
    }
    declared = record(Kind.TASK, 0, "t", options=options, name="f", metadata={}, upstream=["u"])
    return of_task([declared, *records], "w", "t", status)


def stats(*records: Record, status: str = "RUNNING") -> dict[str, float]:
    found: dict[str, float] = of_workflow(records, status)["stats"]
    return found


def test_a_pending_workflow_has_no_times() -> None:
    assert stats(status(1, "PENDING")) == {}
    assert stats(status(1, "RUNNING"), status(2, "FAILED"), status(3, "PENDING")) == {}


def test_resuming_sets_a_new_start_and_forgets_the_old_end() -> None:
    begun = [status(1, "RUNNING"), status(2, "FAILED"), status(3, "RUNNING")]
    assert stats(*begun) == {"start_time": 3}
    assert stats(*begun, status(4, "SUCCESSFUL")) == {"start_time": 3, "end_time": 4}


def test_a_cancelled_workflow_has_a_start_but_no_end() -> None:
    assert stats(status(1, "RUNNING"), status(2, "CANCELED")) == {"start_time": 1}


def test_every_attempt_is_told_with_its_times_place_and_error() -> None:
    error = {"type": "ValueError", "message": "no"}
    found = task(
        record(Kind.STARTED, 1.5, "t", 1),
        record(Kind.FAILED, 3, "t", 1, started_at=1, finished_at=2, node="n", pid=7, error=error),
        record(Kind.SUCCEEDED, 6, "t", 2, started_at=4, finished_at=5, node="m", pid=8),
    )
    place = {"node": "n", "pid": 7}
    assert found["attempts"][0] == {
        "attempt": 1, "status": "FAILED", "start_time": 1, "end_time": 2, "error": error, **place
    }  # fmt: skip
    assert [a["status"] for a in found["attempts"]] == ["FAILED", "SUCCESSFUL"]
    assert found["stats"] == {"start_time": 4, "end_time": 5}
    assert (found["name"], found["workflow_refs"]) == ("f", ["u"])


def test_a_running_attempt_has_only_a_start() -> None:
    found = task(record(Kind.STARTED, 1, "t", 1))
    assert found["stats"] == {"start_time": 1}
    assert (found["attempts"][0]["status"], found["attempts"][0]["end_time"]) == ("RUNNING", None)


def test_an_attempt_that_the_workflow_did_not_survive_is_interrupted() -> None:
    found = task(record(Kind.STARTED, 1, "t", 1), status="RESUMABLE")
    assert found["attempts"][0]["status"] == "INTERRUPTED"
    again = task(record(Kind.STARTED, 1, "t", 1), record(Kind.STARTED, 5, "t", 1))
    assert [a["status"] for a in again["attempts"]] == ["INTERRUPTED", "RUNNING"]


def test_what_a_catching_task_is_given_is_no_second_attempt() -> None:
    found = task(
        record(Kind.FAILED, 2, "t", 1, started_at=1, finished_at=2, error={}, next="caught"),
        record(Kind.SUCCEEDED, 2, "t", 1, started_at=1, finished_at=2, caught=True),
    )
    assert [a["status"] for a in found["attempts"]] == ["FAILED"]
