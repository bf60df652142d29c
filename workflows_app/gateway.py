"""What the web application asks of the engine, and the values that travel.

`workflows_app.engine` implements it with the library; tests put an in-memory one in its place.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from django.conf import settings
from django.utils.module_loading import import_string


class EngineProblem(Exception):
    """The engine or the storage refused or could not be reached.

    Args:
        code: a short stable name, such as ``engine_unavailable`` or ``not_found``.
        title: the kind of problem, for people.
        detail: what happened, to which workflow, and what to do next.
        status: the HTTP status that fits.
        retryable: whether the same call may succeed later without anybody doing anything.
    """

    def __init__(
        self, code: str, *, title: str, detail: str, status: int, retryable: bool = False
    ) -> None:
        super().__init__(code, title, detail, status, retryable)
        self.code = code
        self.title = title
        self.detail = detail
        self.status = status
        self.retryable = retryable

    def __str__(self) -> str:
        return self.detail

    def as_dict(self) -> dict[str, Any]:
        """The problem as it is stored with a command."""
        return {
            "code": self.code,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "retryable": self.retryable,
        }


@dataclass(frozen=True, slots=True)
class DefinitionInfo:
    """A launchable function, as far as the registry needs to know it."""

    name: str
    description: str
    module: str
    params_schema: dict[str, Any]
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Changes:
    """Which workflows have new records; `reset` asks for a comparison with all entries."""

    cursor: str
    reset: bool
    workflow_ids: Sequence[str]


@dataclass(frozen=True, slots=True)
class Entry:
    """What the index says of one workflow. Times are Unix seconds."""

    workflow_id: str
    status: str
    created_at: float
    changed_at: float
    definition: str | None = None


@dataclass(frozen=True, slots=True)
class EngineRecord:
    """One fact of a journal, without its value."""

    seq: int
    time: float
    kind: str
    task_id: str | None = None
    attempt: int | None = None
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RecordPage:
    """Records behind a position. `reset`: forget what was read before, this starts at record 1."""

    records: Sequence[EngineRecord]
    position: str
    more: bool = False
    reset: bool = False


@dataclass(frozen=True, slots=True)
class LogPart:
    """Whole lines of a log, JSON objects as bytes, and where in it they lie (in bytes).

    ``start`` is where the first begins, ``end`` where the last ends, ``size`` how long the log is now.
    """

    lines: Sequence[bytes]
    start: int
    end: int
    size: int


@dataclass(frozen=True, slots=True)
class ValuePart:
    """A stored value, not decoded: its format, its size and its bytes piece by piece."""

    format: str
    size: int
    parts: Iterator[bytes]


@dataclass(frozen=True, slots=True)
class NodeReport:
    """One machine of the cluster. Resources are totals; memory is in bytes."""

    node_id: str
    address: str
    is_alive: bool
    is_head: bool
    resources: dict[str, float]
    labels: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The report as it is stored."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ClusterReport:
    """The nodes, and how much of each resource is in use: name → (used, total)."""

    nodes: Sequence[NodeReport] = ()
    resources: dict[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a workflow takes up in the storage."""

    files: int
    bytes: int


class Gateway(Protocol):
    """What the web application asks of the engine. All commands may be repeated."""

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
        """Start a workflow; return when it is durably accepted."""

    def cancel(self, workflow_id: str) -> None:
        """Ask for a cancellation."""

    def suspend(self, workflow_id: str) -> None:
        """Ask that it stops and can be resumed."""

    def resume(self, workflow_id: str) -> None:
        """Continue a failed or interrupted workflow; return when it is accepted."""

    def delete(self, workflow_id: str) -> None:
        """Remove a finished workflow with its storage."""

    def tell(
        self, workflow_id: str, *, kind: str, name: str, payload: Any, key: str | None, by: str
    ) -> None:
        """Send a message to a workflow; return when it is durably recorded."""

    def fork(
        self,
        *,
        workflow_id: str,
        origin: str,
        from_tasks: Sequence[str],
        metadata: dict[str, Any],
        tags: dict[str, Any],
        created_by: str,
        token: str,
    ) -> None:
        """Start a workflow from the checkpoints of another; return when it is durably accepted.

        A second call with the same token is the same request.
        """

    def plan(self, workflow_id: str, *, verb: str, from_tasks: Sequence[str]) -> dict[str, Any]:
        """What a ``resume`` or a ``fork`` would do: see :class:`workflows_app.plans.Plan`."""

    def warm_up(self) -> None:
        """Connect, so that the first command does not have to wait for it."""

    def definitions(self) -> list[DefinitionInfo]:
        """Load and describe every definition that can be loaded."""

    def changes(self, cursor: str | None, timeout: float) -> Changes:
        """Wait up to `timeout` seconds for news."""

    def entries(self) -> list[Entry]:
        """All workflows of the storage root; needs no engine."""

    def records(self, workflow_id: str, position: str | None) -> RecordPage:
        """The next records of one workflow; needs no engine."""

    def log(self, workflow_id: str, task_id: str, attempt: int, start: int, end: int) -> LogPart:
        """The whole lines that begin in a range of what an attempt has printed; needs no engine.

        A negative ``start`` counts from the end of the log, and ``end`` may lie behind it.
        """

    def usage(self, workflow_id: str) -> Usage:
        """What a workflow takes up in the storage; needs no engine."""

    def cluster(self) -> ClusterReport:
        """The machines that tasks can run on, and what of them is in use."""

    def value(self, workflow_id: str, task_id: str) -> ValuePart:
        """The stored bytes of a task's value; needs no engine."""


@functools.lru_cache(maxsize=4)
def gateway_at(path: str) -> Gateway:
    """The gateway of this class, made once per process."""
    made: Gateway = import_string(path)()
    return made


def gateway() -> Gateway:
    """The gateway that the settings name, one per process."""
    return gateway_at(settings.RAYFLOW_GATEWAY)
