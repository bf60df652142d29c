"""The gateway to the engine: the only module of the web application that knows the library.

The library is imported inside the methods, because a web process starts (and serves) without it:
only the Celery workers and the follower ever talk to the engine or read the storage. Whatever the
library raises leaves here as an `EngineProblem`.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

from django.apps import apps
from django.conf import settings
from django.utils.module_loading import module_has_submodule

from workflows_app import log_context, plans
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

if TYPE_CHECKING:
    from rayflow.reader import Root

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Below the time after which the sweep takes a command for lost.
CALL_SECONDS = 25.0
# A page that shows a log waits no longer for the storage.
READ_SECONDS = 10.0
# The page that measures many workflows gives each of them this long.
MEASURE_SECONDS = 2.0
# How much longer than asked for the wait for news may take before the engine counts as gone; the
# first call also connects, and starts the engine if there is none.
NEWS_GRACE_SECONDS = 20.0


class RayGateway:
    """The real gateway: the rayflow library in this process, the engine somewhere on Ray."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connected = False
        self._root: Root | None = None

    # --- commands ---------------------------------------------------------------------------

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
        from rayflow import definitions, errors

        def start() -> None:
            try:
                definitions.launch(
                    definition,
                    params,
                    workflow_id=workflow_id,
                    metadata=metadata,
                    tags=tags,
                    created_by=created_by,
                    on_conflict="fail",
                    sources=_flows(),
                )
            except errors.WorkflowExistsError:
                # A worker may have died after the engine accepted this very launch.
                if not self._is_ours(workflow_id, definition, params, created_by):
                    raise

        self._ask(f"launch of {workflow_id!r}", start)

    def cancel(self, workflow_id: str) -> None:
        from rayflow import api

        # Its tasks may take their time to end; the journal tells when they have.
        self._ask(f"cancel of {workflow_id!r}", lambda: api.request_cancel(workflow_id))

    def suspend(self, workflow_id: str) -> None:
        from rayflow import api

        self._ask(f"suspend of {workflow_id!r}", lambda: api.request_suspend(workflow_id))

    def resume(self, workflow_id: str) -> None:
        from rayflow import errors, workflow

        def go_on() -> None:
            try:
                workflow.resume_async(workflow_id)
            except errors.WorkflowRunningError:
                # It runs, which is what was asked for; the first delivery got through.
                logger.info("Workflow %s is running already", workflow_id)

        self._ask(f"resume of {workflow_id!r}", go_on)

    def delete(self, workflow_id: str) -> None:
        from rayflow import errors, workflow

        def remove() -> None:
            try:
                workflow.delete(workflow_id)
            except errors.WorkflowNotFoundError:
                logger.info("Workflow %s is gone already", workflow_id)

        self._ask(f"delete of {workflow_id!r}", remove)

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
        from rayflow import forks

        def start() -> None:
            forks.submit(
                origin,
                workflow_id,
                from_tasks=tuple(from_tasks),
                metadata=metadata,
                tags=tags,
                created_by=created_by,
                token=token,
            )

        self._ask(f"fork of {origin!r}", start)

    def plan(self, workflow_id: str, *, verb: str, from_tasks: Sequence[str]) -> dict[str, Any]:
        from rayflow import forks, workflow

        def look() -> dict[str, Any]:
            if verb == "resume":
                found = workflow.plan_resume(workflow_id)
            else:
                found = forks.plan_fork(workflow_id, from_tasks=from_tasks)
            return plans.describe(found.reused, found.runs, found.missing)

        return self._ask(f"plan for {workflow_id!r}", look)

    def tell(
        self, workflow_id: str, *, kind: str, name: str, payload: Any, key: str | None, by: str
    ) -> None:
        from rayflow import signals

        self._ask(
            f"message to {workflow_id!r}",
            lambda: signals.send(kind, workflow_id, name, payload, key=key, by=by or None),
        )

    def _is_ours(
        self, workflow_id: str, definition: str, params: dict[str, Any], created_by: str
    ) -> bool:
        """Whether the workflow with this id came from the same request."""
        first = next(iter(self.records(workflow_id, None).records), None)
        if first is None or first.kind != "accepted":
            return False
        accepted = first.data
        stored = accepted.get("params") or {}
        return (
            accepted.get("definition") == definition
            and accepted.get("created_by") == created_by
            # The stored parameters have the defaults filled in.
            and all(stored.get(name) == value for name, value in params.items())
        )

    def warm_up(self) -> None:
        self.definitions()
        self._ask("first connection", lambda: None)

    # --- reading ----------------------------------------------------------------------------

    def definitions(self) -> list[DefinitionInfo]:
        from rayflow import definitions

        found, problems = definitions.load_all(_flows())
        for problem in problems:
            logger.warning("Definitions: %s", problem)
        return [
            DefinitionInfo(
                name=each.name,
                description=each.description,
                module=each.module,
                params_schema=each.params_schema,
                tags=dict(each.tags),
            )
            for each in found.values()
        ]

    def changes(self, cursor: str | None, timeout: float) -> Changes:
        from rayflow import feed

        news = self._ask(
            "news of the workflows",
            lambda: feed.changes(cursor, timeout),
            seconds=timeout + NEWS_GRACE_SECONDS,
        )
        return Changes(news.cursor, news.reset, list(news.workflow_ids))

    def entries(self) -> list[Entry]:
        with _translated("list of the workflows"):
            return [
                Entry(
                    each.workflow_id,
                    str(each.status),
                    each.created_at,
                    each.changed_at,
                    each.definition,
                )
                for each in self._storage().entries()
            ]

    def records(self, workflow_id: str, position: str | None) -> RecordPage:
        with _translated(f"journal of {workflow_id!r}"):
            page = self._storage().records(workflow_id, position)
        records = [
            EngineRecord(each.seq, each.time, str(each.kind), each.task_id, each.attempt, each.data)
            for each in page.records
        ]
        return RecordPage(records, page.position, page.more, page.reset)

    def log(self, workflow_id: str, task_id: str, attempt: int, start: int, end: int) -> LogPart:
        def read() -> LogPart:
            return LogPart(*self._storage().log(workflow_id, task_id, attempt).part(start, end))

        what = f"log of task {task_id!r} of {workflow_id!r}"
        return self._ask(what, read, seconds=READ_SECONDS, connects=False)

    def value(self, workflow_id: str, task_id: str) -> ValuePart:
        what = f"value of task {task_id!r} of {workflow_id!r}"

        def find() -> ValuePart:
            try:
                found = self._storage().value(workflow_id, task_id)
            except KeyError:
                raise EngineProblem(
                    "no_value",
                    title="No stored value",
                    detail=f"Task {task_id!r} of workflow {workflow_id!r} has no value in the storage:"
                    " it has not succeeded, or its value was not to be stored.",
                    status=404,
                ) from None
            return ValuePart(found.format, found.size, found.parts())

        return self._ask(what, find, seconds=READ_SECONDS, connects=False)

    def usage(self, workflow_id: str) -> Usage:
        what = f"size of {workflow_id!r}"

        def measure() -> Usage:
            return Usage(*self._storage().usage(workflow_id))

        return self._ask(what, measure, seconds=MEASURE_SECONDS, connects=False)

    def cluster(self) -> ClusterReport:
        from rayflow.runtime import machines

        def look() -> ClusterReport:
            nodes = [NodeReport(**asdict(node)) for node in machines.nodes()]
            return ClusterReport(nodes, machines.usage())

        return self._ask("state of the cluster", look, seconds=READ_SECONDS)

    # --- connections ------------------------------------------------------------------------

    def _storage(self) -> Root:
        from rayflow.reader import open_root

        if self._root is None:
            self._root = open_root(settings.RAYFLOW_STORAGE)
        return self._root

    def _ask(
        self,
        what: str,
        call: Callable[[], T],
        *,
        seconds: float = CALL_SECONDS,
        connects: bool = True,
    ) -> T:
        """Connect if needed and make a call of the engine or the storage, for a limited time.

        When a cluster's head dies, a call may neither return nor fail for a minute and more. It is
        left behind in its thread then; commands are idempotent, so they are simply repeated.
        """
        from rayflow import tracing

        answer: Future[T] = Future()
        request_id = log_context.request_id()

        def work() -> None:
            try:
                with _translated(what), tracing.request(request_id):
                    if connects:
                        self._connect()
                    answer.set_result(call())
            except BaseException as error:  # noqa: BLE001 - raised again by result() below
                answer.set_exception(error)

        # A daemon thread: a call that hangs must not keep the process from stopping.
        threading.Thread(target=work, name=f"engine: {what}", daemon=True).start()
        try:
            return answer.result(seconds)
        except FutureTimeoutError:
            who, where = ("engine", "Ray cluster") if connects else ("storage", "storage")
            raise EngineProblem(
                f"{who}_unavailable",
                title=f"{who.capitalize()} unreachable",
                detail=f"The {who} did not answer within {seconds:.0f} s ({what}). Try again;"
                f" look at the {where} if this lasts.",
                status=503,
                retryable=True,
            ) from None

    def _connect(self) -> None:
        from rayflow import workflow

        with self._lock:
            if self._connected:
                return
            # Without an address Ray would start a cluster of its own in this process.
            os.environ.setdefault("RAY_ADDRESS", settings.RAYFLOW_RAY_ADDRESS)
            workflow.init(storage=settings.RAYFLOW_STORAGE)
            self._connected = True


def _flows() -> list[str]:
    """Where definitions are: what is configured, then ``flows.py`` of every installed app."""
    from rayflow import definitions

    in_apps = [
        f"{app.name}.flows"
        for app in apps.get_app_configs()
        if app.module is not None and module_has_submodule(app.module, "flows")
    ]
    return list(dict.fromkeys([*definitions.configured_sources(), *in_apps]))


@contextmanager
def _translated(what: str) -> Iterator[None]:
    """Turn the library's errors into `EngineProblem`; `what` is being done."""
    from rayflow import errors

    try:
        yield
    except errors.WorkflowError as error:
        raise _problem(error, what) from error
    except ValueError as error:  # what the library says of a bad argument
        raise EngineProblem(
            "invalid", title="The engine refused", detail=str(error), status=400
        ) from error
    except (OSError, TimeoutError) as error:
        raise EngineProblem(
            "engine_unavailable",
            title="The engine or the storage cannot be reached",
            detail=f"The {what} failed: {error}. It is tried again.",
            status=503,
            retryable=True,
        ) from error


def _problem(error: Exception, what: str) -> EngineProblem:
    from rayflow import errors

    table: list[tuple[type[Exception], str, str, int, bool]] = [
        (errors.EngineUnavailableError, "engine_unavailable", "Engine unreachable", 503, True),
        (errors.RootInUseError, "root_in_use", "Storage owned by another engine", 503, True),
        (errors.WorkflowNotFoundError, "not_found", "No such workflow", 404, False),
        (errors.WorkflowExistsError, "workflow_exists", "The id is taken", 409, False),
        (errors.WorkflowHasForksError, "has_forks", "Forks use its results", 409, False),
        (errors.WorkflowNotForkableError, "not_forkable", "It cannot be forked", 409, False),
        (errors.WorkflowStillActiveError, "still_active", "The workflow is active", 409, False),
        (errors.WorkflowRunningError, "already_running", "The workflow is running", 409, False),
        (errors.WorkflowNotResumableError, "not_resumable", "It cannot be resumed", 409, False),
        (errors.WorkflowCancellationError, "canceled", "The workflow is canceled", 409, False),
        (errors.WorkflowEndedError, "ended", "The workflow has ended", 409, False),
        (errors.InvalidPayloadError, "invalid_payload", "The payload does not fit", 400, False),
        (errors.UnknownApprovalError, "unknown_approval", "No such approval", 404, False),
        (errors.AlreadyAnsweredError, "already_answered", "Answered already", 409, False),
        (errors.NotAssignedError, "not_assigned", "For others to answer", 403, False),
        (errors.UnknownDefinitionError, "unknown_definition", "No such definition", 404, False),
        (errors.InvalidParametersError, "invalid_parameters", "Unfit parameters", 400, False),
        (errors.JournalCorruptError, "journal_corrupt", "The journal is damaged", 500, False),
        (errors.DataLoadError, "data_load", "Stored data cannot be read", 500, False),
        (errors.StorageError, "storage_unavailable", "The storage failed", 503, True),
    ]
    for kind, code, title, status, retryable in table:
        if isinstance(error, kind):
            return EngineProblem(
                code, title=title, detail=str(error), status=status, retryable=retryable
            )
    return EngineProblem(
        "engine_error", title="The engine refused", detail=f"The {what} failed: {error}", status=500
    )
