"""An engine in memory: a real implementation of the gateway's contract, without Ray.

It keeps journals, gives out records of the documented kinds, refuses what the engine refuses, and
is idempotent as the engine is. Tests write a workflow's story with `write`.
"""

from __future__ import annotations

from typing import Any

from workflows_app.gateway import (
    Changes,
    DefinitionInfo,
    EngineProblem,
    EngineRecord,
    Entry,
    RecordPage,
)

START = 1_800_000_000.0
SCHEMA = {
    "type": "object",
    "properties": {"folds": {"type": "integer", "minimum": 2, "default": 5}},
    "additionalProperties": False,
}


class FakeGateway:
    """Journals by workflow id, and what can be done with them."""

    page_size = 10_000

    def __init__(self) -> None:
        self.journals: dict[str, list[EngineRecord]] = {}
        self.news: list[str] = []
        self.orphans: set[str] = set()
        self.corrupt: set[str] = set()
        self.is_down = False
        self.calls: list[tuple[str, str]] = []
        self.catalogue = [DefinitionInfo("digits", "Train.", "examples.digits", SCHEMA, {})]

    def write(
        self,
        wf: str,
        kind: str,
        task: str | None = None,
        attempt: int | None = None,
        /,
        **data: Any,
    ) -> None:
        journal = self.journals.setdefault(wf, [])
        seq = len(journal) + 1
        journal.append(EngineRecord(seq, START + seq, kind, task, attempt, data))
        self.news.append(wf)

    def status(self, workflow_id: str) -> str:
        for record in reversed(self.journals[workflow_id]):
            if record.kind == "status":
                return str(record.data["status"])
        return "PENDING"

    def launch(
        self,
        *,
        workflow_id: str,
        definition: str,
        params: dict[str, Any],
        metadata: dict[str, Any],
        tags: dict[str, Any],
        created_by: str,
    ) -> None:
        self._called("launch", workflow_id)
        if workflow_id not in self.journals:
            self.write(
                workflow_id,
                "accepted",
                workflow_id=workflow_id,
                root="main",
                definition=definition,
                params=params,
                metadata=metadata,
                tags=tags,
                created_by=created_by,
                task_count=1,
            )
            self.write(workflow_id, "task", "main", name="main", upstream=[], parent=None)
            self.write(workflow_id, "status", status="RUNNING")

    def cancel(self, workflow_id: str) -> None:
        self._called("cancel", workflow_id)
        if self.status(workflow_id) in {"RUNNING", "PENDING"}:
            self.write(workflow_id, "cancel_requested")
            self.write(workflow_id, "status", status="CANCELED")

    def resume(self, workflow_id: str) -> None:
        self._called("resume", workflow_id)
        if self.status(workflow_id) in {"FAILED", "RESUMABLE"}:
            self.write(workflow_id, "resumed", reset=[])
            self.write(workflow_id, "status", status="RUNNING")

    def delete(self, workflow_id: str) -> None:
        self._called("delete", workflow_id)
        self.journals.pop(workflow_id, None)
        self.news.append(workflow_id)

    def definitions(self) -> list[DefinitionInfo]:
        return list(self.catalogue)

    def changes(self, cursor: str | None, timeout: float) -> Changes:
        self._check_up()
        start = int(cursor or 0)
        ids = list(dict.fromkeys(self.news[start:]))
        return Changes(str(len(self.news)), cursor is None, ids)

    def entries(self) -> list[Entry]:
        return [
            Entry(
                key,
                "RESUMABLE" if key in self.orphans else self.status(key),
                records[0].time,
                records[-1].time,
                records[0].data.get("definition"),
            )
            for key, records in self.journals.items()
        ]

    def records(self, workflow_id: str, position: str | None) -> RecordPage:
        if workflow_id in self.corrupt:
            raise EngineProblem(
                "journal_corrupt",
                title="Damaged",
                status=500,
                detail=f"A batch of {workflow_id!r} is damaged.",
            )
        start = int(position or 0)
        journal = self.journals.get(workflow_id, [])
        page = journal[start : start + self.page_size]
        return RecordPage(page, str(start + len(page)), start + len(page) < len(journal))

    def _called(self, verb: str, workflow_id: str) -> None:
        self._check_up()
        self.calls.append((verb, workflow_id))

    def _check_up(self) -> None:
        if self.is_down:
            raise EngineProblem(
                "engine_unavailable",
                title="Engine unreachable",
                status=503,
                detail="The engine did not answer.",
                retryable=True,
            )
