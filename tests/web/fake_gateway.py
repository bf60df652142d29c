"""An engine in memory: a real implementation of the gateway's contract, without Ray."""

from __future__ import annotations

from typing import Any

from rayflow.storage.logs import LogFile
from rayflow.testing.memory_store import MemoryStore
from workflows_app import plans
from workflows_app.gateway import (
    Changes,
    ClusterReport,
    DefinitionInfo,
    EngineProblem,
    EngineRecord,
    Entry,
    LogPart,
    NodeReport,
    RecordPage,
    Usage,
    ValuePart,
)

START = 1_800_000_000.0
FOLDS = {"type": "integer", "minimum": 2, "default": 5}
SCHEMA = {"type": "object", "properties": {"folds": FOLDS}, "additionalProperties": False}


class FakeGateway:
    """Journals by workflow id. Tests write a workflow's story with `write`."""

    page_size = 10_000

    def __init__(self) -> None:
        self.journals: dict[str, list[EngineRecord]] = {}
        self.news: list[str] = []
        self.orphans: set[str] = set()
        self.corrupt: set[str] = set()
        self.is_down = False
        self.store = MemoryStore()
        self.values: dict[tuple[str, str], tuple[str, bytes]] = {}
        self.calls: list[tuple[str, str]] = []
        self.catalogue = [DefinitionInfo("digits", "Train.", "examples.digits", SCHEMA)]

    def write(
        self, wf: str, kind: str, task: str | None = None, n: int | None = None, /, **data: Any
    ) -> None:
        journal = self.journals.setdefault(wf, [])
        seq = len(journal) + 1
        journal.append(EngineRecord(seq, START + seq, kind, task, n, data))
        self.news.append(wf)

    def status(self, wf: str) -> str:
        found = [r.data["status"] for r in self.journals[wf] if r.kind == "status"]
        return str(found[-1]) if found else "PENDING"

    def launch(self, *, workflow_id: str, **accepted: Any) -> None:
        self._called("launch", workflow_id)
        if workflow_id not in self.journals:
            self.write(workflow_id, "accepted", root="main", **accepted)
            self.write(workflow_id, "task", "main", name="main")
            self.write(workflow_id, "status", status="RUNNING")

    def cancel(self, workflow_id: str) -> None:
        self._called("cancel", workflow_id)
        if self.status(workflow_id) in {"RUNNING", "PENDING"}:
            self.write(workflow_id, "cancel_requested")
            self.write(workflow_id, "status", status="CANCELED")

    def suspend(self, workflow_id: str) -> None:
        self._called("suspend", workflow_id)
        if self.status(workflow_id) in {"RUNNING", "PENDING"}:
            self.write(workflow_id, "suspend_requested")
            self.write(workflow_id, "status", status="RESUMABLE", reason="It was suspended.")

    def resume(self, workflow_id: str) -> None:
        self._called("resume", workflow_id)
        if self.status(workflow_id) in {"FAILED", "RESUMABLE"}:
            self.write(workflow_id, "resumed", reset=[])
            self.write(workflow_id, "status", status="RUNNING")

    def delete(self, workflow_id: str) -> None:
        self._called("delete", workflow_id)
        self.journals.pop(workflow_id, None)
        self.news.append(workflow_id)

    def tell(self, workflow_id: str, *, kind: str, name: str, **message: Any) -> None:
        self._called("tell", workflow_id)
        if kind == "approval" and name == "nobody-asks":
            raise EngineProblem("unknown_approval", title="No", detail="not asked for", status=404)
        self.write(workflow_id, "signaled", channel=f"{kind}/{name}", **message)

    def fork(self, *, workflow_id: str, origin: str, token: str, **accepted: Any) -> None:
        self._called("fork", workflow_id)
        if workflow_id not in self.journals:
            start = {"workflow_id": origin, "from_tasks": accepted.pop("from_tasks")}
            self.write(workflow_id, "accepted", root="main", forked_from=start, **accepted)
            self.write(workflow_id, "task", "main", name="main")
            self.write(workflow_id, "status", status="RUNNING")

    def plan(self, workflow_id: str, *, verb: str, from_tasks: list[str]) -> dict[str, Any]:
        self._called(f"plan {verb}", workflow_id)
        return plans.describe(["kept"], [*from_tasks, "main"])

    def definitions(self) -> list[DefinitionInfo]:
        return list(self.catalogue)

    def changes(self, cursor: str | None, timeout: float) -> Changes:
        self._fail_if(self.is_down, "engine_unavailable", "The engine did not answer.")
        ids = list(dict.fromkeys(self.news[int(cursor or 0) :]))
        return Changes(str(len(self.news)), cursor is None, ids)

    def entries(self) -> list[Entry]:
        shown = {
            key: "RESUMABLE" if key in self.orphans else self.status(key) for key in self.journals
        }
        return [Entry(key, shown[key], j[0].time, j[-1].time) for key, j in self.journals.items()]

    def records(self, workflow_id: str, position: str | None) -> RecordPage:
        self._fail_if(
            workflow_id in self.corrupt, "journal_corrupt", f"{workflow_id!r} is damaged."
        )
        journal, start = self.journals.get(workflow_id, []), int(position or 0)
        end = min(start + self.page_size, len(journal))
        return RecordPage(journal[start:end], str(max(start, end)), end < len(journal))

    def log(self, workflow_id: str, task_id: str, attempt: int, start: int, end: int) -> LogPart:
        self._fail_if(self.is_down, "storage_unavailable", "The storage did not answer.")
        return LogPart(*LogFile(self.store, workflow_id, task_id, attempt).part(start, end))

    def value(self, workflow_id: str, task_id: str) -> ValuePart:
        if (workflow_id, task_id) not in self.values:
            raise EngineProblem("no_value", title="No value", detail="none", status=404)
        kind, data = self.values[workflow_id, task_id]
        return ValuePart(kind, len(data), iter([data[:3], data[3:]]))

    def warm_up(self) -> None:
        self._fail_if(self.is_down, "engine_unavailable", "The engine did not answer.")

    def _called(self, verb: str, workflow_id: str) -> None:
        self._fail_if(self.is_down, "engine_unavailable", "The engine did not answer.")
        self.calls.append((verb, workflow_id))

    def _fail_if(self, bad: bool, code: str, detail: str) -> None:
        if bad:
            retryable = code.endswith("_unavailable")
            raise EngineProblem(code, title=code, detail=detail, status=503, retryable=retryable)

    def usage(self, workflow_id: str) -> Usage:
        return Usage(1, 100 * len(self.journals.get(workflow_id, [])))

    def cluster(self) -> ClusterReport:
        self._fail_if(self.is_down, "engine_unavailable", "The engine did not answer.")
        node = NodeReport("n1", "10.0.0.1", True, True, {"CPU": 4.0, "memory": 8.0e9})
        return ClusterReport([node], {"CPU": (1.0, 4.0), "memory": (2.0e9, 8.0e9)})
