"""Whole lists as files: CSV, NDJSON and Parquet, streamed while they are read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request

from workflows_app import access, exporting, keyset, queries, services
from workflows_app.api import lookup
from workflows_app.api.base import ApiView, read_query
from workflows_app.api.workflows import WorkflowFilters
from workflows_app.exporting import Column
from workflows_app.keyset import Sort
from workflows_app.models import AuditEntry, BulkItem, Task, WorkflowEvent
from workflows_app.services.bulk_control import find_bulk

BATCH = 1_000
FORMAT = serializers.ChoiceField(choices=list(exporting.FORMATS), default="csv")
FILE_SCHEMA = {
    (200, exporting.FORMATS[name].content_type.partition(";")[0]): OpenApiResponse(
        OpenApiTypes.BINARY, "The file, streamed."
    )
    for name in exporting.FORMATS
}

Rows = QuerySet[Any]


@dataclass(frozen=True, slots=True)
class Table:
    """What is exported: rows in an order, and how one becomes cells."""

    name: str
    columns: Sequence[Column]
    rows: Rows
    sort: Sort
    cells: Callable[[Any], Mapping[str, Any]]


class ExportQuery(serializers.Serializer[Any]):
    """The kind of file."""

    format = FORMAT


class WorkflowExportQuery(WorkflowFilters):
    """Which workflows, and the kind of file."""

    sort = serializers.ChoiceField(choices=list(queries.SORTS), default="-created")
    format = FORMAT


class Export(ApiView):
    """A list as a file."""

    def stream(self, request: Request, table: Table, kind: str) -> StreamingHttpResponse:
        """The answer; it is noted who took what."""
        services.note_export(self.caller, table.name, kind, request.get_full_path())
        content = exporting.parts(kind, table.columns, _batches(table))
        stamp = timezone.now().strftime("%Y%m%d-%H%M%S")
        name = f"{table.name}-{stamp}.{kind}"
        return streamed(request, content, exporting.FORMATS[kind].content_type, name)


class WorkflowExport(Export):
    """Workflows as a file."""

    @extend_schema(tags=["exports"], parameters=[WorkflowExportQuery], responses=FILE_SCHEMA)
    def get(self, request: Request) -> StreamingHttpResponse:
        """All workflows that match, as CSV, NDJSON or Parquet."""
        query = read_query(request, WorkflowExportQuery)
        kind, sort = query.pop("format"), queries.SORTS[query.pop("sort")]
        may_see = access.can(self.caller, "view_payload")
        rows = queries.search(
            access.workflows_for(self.caller), may_see_payload=may_see, **query
        ).defer("output_preview", "position")
        table = Table("workflows", WORKFLOW_COLUMNS, rows, sort, lambda w: _workflow(w, may_see))
        return self.stream(request, table, kind)


class TaskExport(Export):
    """Tasks of a workflow as a file."""

    @extend_schema(tags=["exports"], parameters=[ExportQuery], responses=FILE_SCHEMA)
    def get(self, request: Request, workflow_id: str) -> StreamingHttpResponse:
        """All tasks of a workflow, as CSV, NDJSON or Parquet."""
        kind = read_query(request, ExportQuery)["format"]
        workflow = lookup.find_to_change(self.caller, workflow_id)
        rows = Task.objects.filter(workflow=workflow).defer("preview", "options", "metadata")
        may_see = access.can(self.caller, "view_payload")
        table = Table("tasks", TASK_COLUMNS, rows, Sort("id"), lambda task: _task(task, may_see))
        return self.stream(request, table, kind)


class EventExport(Export):
    """The history of a workflow as a file."""

    permission: ClassVar[str | None] = "view_events"

    @extend_schema(tags=["exports"], parameters=[ExportQuery], responses=FILE_SCHEMA)
    def get(self, request: Request, workflow_id: str) -> StreamingHttpResponse:
        """All events of a workflow, as CSV, NDJSON or Parquet."""
        kind = read_query(request, ExportQuery)["format"]
        workflow = lookup.find_to_change(self.caller, workflow_id)
        rows = WorkflowEvent.objects.filter(workflow=workflow)
        may_see = access.can(self.caller, "view_payload")
        table = Table("events", EVENT_COLUMNS, rows, Sort("seq"), lambda row: _event(row, may_see))
        return self.stream(request, table, kind)


class BulkItemExport(Export):
    """The workflows of a bulk operation as a file."""

    @extend_schema(tags=["exports"], parameters=[ExportQuery], responses=FILE_SCHEMA)
    def get(self, request: Request, bulk_id: Any) -> StreamingHttpResponse:
        """What became of each workflow of a bulk operation, as CSV, NDJSON or Parquet."""
        kind = read_query(request, ExportQuery)["format"]
        rows = BulkItem.objects.filter(bulk=find_bulk(bulk_id))
        table = Table("bulk-items", BULK_COLUMNS, rows, Sort("id"), _fields(BULK_COLUMNS))
        return self.stream(request, table, kind)


class AuditExport(Export):
    """The audit log as a file."""

    permission: ClassVar[str | None] = "view_audit"

    @extend_schema(tags=["exports"], parameters=[ExportQuery], responses=FILE_SCHEMA)
    def get(self, request: Request) -> StreamingHttpResponse:
        """The whole audit log, as CSV, NDJSON or Parquet."""
        kind = read_query(request, ExportQuery)["format"]
        rows = AuditEntry.objects.all()
        table = Table(
            "audit-entries", AUDIT_COLUMNS, rows, Sort("time", True), _fields(AUDIT_COLUMNS)
        )
        return self.stream(request, table, kind)


# --- what the files hold ------------------------------------------------------------------------

_COUNTS = tuple(
    f"tasks_{name}" for name in ("total", "pending", "running", "successful", "failed", "canceled")
)
WORKFLOW_COLUMNS = (
    *map(Column, ("workflow_id", "status", "definition", "actor", "created_by")),
    *(Column(name, "time") for name in ("created_at", "started_at", "finished_at")),
    Column("duration_ms", "integer"),
    *(Column(name, "integer") for name in _COUNTS),
    *map(Column, ("error_type", "error_message", "failure_group")),
    Column("resolved", "boolean"),
    *map(Column, ("forked_from", "superseded_by")),
    *(Column(name, "json") for name in ("tags", "user_metadata", "params")),
)
TASK_COLUMNS = (
    *map(Column, ("task_id", "name", "status")),
    Column("attempt", "integer"),
    *map(Column, ("parent_task_id", "reused_from")),
    *(Column(name, "time") for name in ("started_at", "finished_at")),
    Column("duration_ms", "integer"),
    Column("node"),
    Column("pid", "integer"),
    *map(Column, ("error_type", "error_message")),
    Column("upstream", "json"),
)
EVENT_COLUMNS = (
    Column("seq", "integer"), Column("time", "time"), Column("kind"), Column("task_id"),
    Column("attempt", "integer"), Column("data", "json"),
)  # fmt: skip
BULK_COLUMNS = (Column("workflow_id"), Column("state"), Column("detail"))
AUDIT_COLUMNS = (
    Column("id", "integer"), Column("time", "time"), Column("actor"), Column("verb"),
    Column("target"), Column("detail", "json"), Column("request_id"),
)  # fmt: skip


def _fields(columns: Sequence[Column]) -> Callable[[Any], Mapping[str, Any]]:
    return lambda row: {column.name: getattr(row, column.name) for column in columns}


def _failed(row: Any, columns: Sequence[Column], may_see: bool) -> dict[str, Any]:
    told = row.error or {}
    error = {
        "error_type": told.get("type"),
        "error_message": told.get("message") if may_see else None,
    }
    return {c.name: error[c.name] if c.name in error else getattr(row, c.name) for c in columns}


def _workflow(row: Any, may_see: bool) -> Mapping[str, Any]:
    cells = _failed(row, WORKFLOW_COLUMNS, may_see)
    return cells if may_see else {**cells, "params": None}


def _task(row: Any, may_see: bool) -> Mapping[str, Any]:
    return _failed(row, TASK_COLUMNS, may_see)


def _event(row: Any, may_see: bool) -> Mapping[str, Any]:
    cells = _fields(EVENT_COLUMNS)(row)
    return cells if may_see else {**cells, "data": None}


# --- reading ------------------------------------------------------------------------------------


def _batches(table: Table) -> Iterator[Sequence[Mapping[str, Any]]]:
    """Each batch is a page of its own, so no transaction stays open however slow the reader is."""
    last: Any = None
    while True:
        rows = keyset.after(table.rows, table.sort, last, BATCH)
        if rows:
            yield [table.cells(row) for row in rows]
        if len(rows) < BATCH:
            return
        last = rows[-1]


def streamed(
    request: Request,
    content: Iterator[bytes],
    kind: str,
    name: str,
    headers: Mapping[str, str] | None = None,
) -> StreamingHttpResponse:
    """A file that is sent while it is made; ``kind`` is its media type."""
    is_async = isinstance(request._request, ASGIRequest)
    return StreamingHttpResponse(
        _from_threads(content) if is_async else content,
        content_type=kind,
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": "no-store",
            **(headers or {}),
        },
    )


async def _from_threads(content: Iterator[bytes]) -> AsyncIterator[bytes]:
    """What a server that is asynchronous sends, without waiting for it on the event loop."""
    following = sync_to_async(lambda: next(content, None))
    while (part := await following()) is not None:
        yield part
