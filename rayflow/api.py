"""The public verbs. Each connects if need be, then asks the engine."""

from __future__ import annotations

import queue
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rayflow import context
from rayflow.config import ChosenLimits
from rayflow.core.foresight import ResumePlan
from rayflow.core.graph import Graph
from rayflow.core.ids import validate_workflow_id
from rayflow.core.records import WorkflowStatus
from rayflow.dag import translate
from rayflow.errors import WorkflowNotResumableError
from rayflow.options import check_metadata, check_seconds
from rayflow.runtime import environment, nodes
from rayflow.runtime.actor_calls import ActorCall
from rayflow.runtime.cluster import Connector
from rayflow.runtime.connection import Connection, answered, unwrapped
from rayflow.runtime.feed import Changes
from rayflow.runtime.intake import Submission
from rayflow.runtime.references import ValueWriter
from rayflow.statuses import statuses_of
from rayflow.storage.address import Storage

_connector = Connector()  # what "initialise on first use" needs to remember; see style principle 10


def init(
    storage: Storage | None = None,
    *,
    max_running_workflows: int | None = None,
    max_pending_workflows: int | None = None,
    auto_resume: bool | None = None,
    engines: int | None = None,
) -> None:
    """Connect to Ray and to the engines of a storage root, starting what is not there yet.

    Args:
        storage: a path, a pyarrow URI, a pair (``pyarrow.fs.FileSystem``, base path), or
            ``custom://module.factory/path``. Default: the root that the cluster uses, else
            ``RAYFLOW_STORAGE``, else ``/tmp/ray/workflow_data`` (one node only).
        max_running_workflows: at most so many run at once; -1 is unlimited.
        max_pending_workflows: at most so many more wait; -1 is unlimited, 0 means no queue.
        auto_resume: resume what an earlier cluster left RESUMABLE.
        engines: so many processes drive the workflows, each those whose ids a hash gives to it; from 1 to 64.
            The limits are for all together. Default: ``RAYFLOW_ENGINES``, else as many as the root has had
            before, at first one.

    Raises:
        TypeError, ValueError: a bad limit, number or storage, or one that differs from those in use.
        RootInUseError: another cluster's engine owns the root.
        StorageError: the storage cannot be used, or is not shared with every node.

    Source: seed 000, "Concurrency Control"; ``ray-workflows`` 1.2.
    """
    chosen = ChosenLimits.parse(max_running_workflows, max_pending_workflows, engines)
    _connector.connect(storage, chosen, resume_interrupted=bool(auto_resume))


def run(
    dag: Any,
    *args: Any,
    workflow_id: str | None = None,
    metadata: dict[str, Any] | None = None,
    workflow_timeout: float | None = None,
    **kwargs: Any,
) -> Any:
    """Run a DAG durably and return its value. See :func:`run_async`.

    Raises:
        WorkflowExecutionError: the workflow failed.
        WorkflowCancellationError: it was cancelled.
    """
    chosen = _start(dag, args, kwargs, workflow_id, metadata, workflow_timeout)
    return _connector.connect().at(chosen).value(chosen)


def run_async(
    dag: Any,
    *args: Any,
    workflow_id: str | None = None,
    metadata: dict[str, Any] | None = None,
    workflow_timeout: float | None = None,
    **kwargs: Any,
) -> Any:
    """Start a DAG durably and return an ``ObjectRef`` to its value.

    Returns when the DAG and its arguments are stored and accepted. A known id is resumed: the new
    DAG is ignored, and a finished workflow gives its stored result.

    Args:
        dag: a node made with ``fn.bind(...)``.
        *args: positional values for the DAG's ``InputNode``.
        workflow_id: any non-empty string of at most 1,024 bytes; default a random one.
        metadata: a JSON-serialisable dict, kept with the workflow.
        workflow_timeout: seconds until the workflow is stopped and FAILED if it has no result. They
            count from when it is accepted, in the queue too, and anew from each ``resume``.
        **kwargs: keyword values for the ``InputNode``.

    Raises:
        TypeError: ``dag`` is no DAG of functions, or arguments do not fit a function.
        ValueError: a bad id, bad metadata or a bad time.
        WorkflowRunningError: the id belongs to a workflow that is running (a ``RuntimeError``).
        queue.Full: the limits of :func:`init` are reached.
        SerializationError, StorageError: arguments or code cannot be stored.

    Source: seed 002, "Your first workflow"; ``ray-workflows`` 1.3.
    """
    return output_ref(_start(dag, args, kwargs, workflow_id, metadata, workflow_timeout))


def _start(
    dag: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    workflow_id: str | None,
    metadata: dict[str, Any] | None,
    workflow_timeout: float | None,
) -> str:
    if workflow_id is not None:
        validate_workflow_id(workflow_id)
    connection = _connect_for(dag)
    with connection.listener.submitting() as listener:
        return submit(
            dag,
            args,
            kwargs,
            workflow_id=workflow_id,
            metadata=metadata,
            workflow_timeout=workflow_timeout,
            listener=listener,
        )


def submit(
    dag: Any,
    args: tuple[Any, ...] = (),
    kwargs: dict[str, Any] | None = None,
    *,
    workflow_id: str | None = None,
    metadata: dict[str, Any] | None = None,
    definition: str | None = None,
    params: dict[str, Any] | None = None,
    tags: dict[str, Any] | None = None,
    created_by: str | None = None,
    must_be_new: bool = False,
    token: str | None = None,
    workflow_timeout: float | None = None,
    listener: str | None = None,
    parent: dict[str, Any] | None = None,
    attempt: tuple[str, str, int, str] | None = None,
) -> str:
    """Store and start a DAG; what :func:`run_async`, definitions and children share. Returns the id.

    Args:
        definition, params, tags, created_by: recorded with the workflow.
        must_be_new: a known id is :class:`WorkflowExistsError` instead of a resume.
        token: makes a repeated call with the same token the same submission.
        listener: who is told what happens to it.
        parent, attempt: of a child workflow, its link and the attempt that starts it.
    """
    chosen = validate_workflow_id(fresh_id() if workflow_id is None else workflow_id)
    user_metadata = check_metadata(metadata)
    seconds = check_seconds("workflow_timeout", workflow_timeout)
    connection = _connect_for(dag)
    with _stored(connection, chosen, is_alone=workflow_id is None) as stored:
        graph = translate(dag, stored.writer, args=args, kwargs=kwargs)
        graph = environment.keep_tasks(connection.store, graph)
        submission = Submission(
            chosen,
            graph,
            token or uuid.uuid4().hex,
            user_metadata,
            definition,
            params,
            tags or {},
            created_by,
            must_be_new,
            seconds,
            connection.environment,
            _has_old_names(),
            parent,
        )
        if attempt is None:
            stored.is_used = connection.at(chosen).call("submit", submission, listener)
        else:  # a parent knows of its child first
            engine = connection.at(attempt[0])
            stored.is_used = engine.call("submit_child", attempt, submission, listener)
    return chosen


@dataclass(slots=True)
class _Stored:
    """What is stored for a submission, and whether its workflow uses it."""

    writer: ValueWriter
    is_used: bool = True


@contextmanager
def _stored(connection: Connection, workflow_id: str, *, is_alone: bool) -> Iterator[_Stored]:
    """Values of a submission, which are removed again if it is refused, or ignored for a known id.

    Not after errors that leave open whether it was accepted.
    """
    stored = _Stored(ValueWriter(connection.store, workflow_id, connection.code))
    try:
        yield stored
    except (queue.Full, RuntimeError, TypeError, ValueError, WorkflowNotResumableError):
        stored.writer.discard(is_alone=is_alone)
        raise
    if not stored.is_used:
        stored.writer.discard(is_alone=False)


def create_actor(actor_id: str, constructor: Any, cls: type, about: dict[str, Any]) -> bool:
    """Make a virtual actor, unless there is one: its class, and a node that calls its constructor."""
    connection = _connector.connect()
    with _stored(connection, actor_id, is_alone=False) as stored:
        graph = _graph_of_call(connection, stored.writer, constructor, cls)
        submission = Submission(
            actor_id,
            graph,
            uuid.uuid4().hex,
            must_be_new=True,
            runtime_env=connection.environment,
            old_names=_has_old_names(),
            actor=about,
        )
        with connection.listener.submitting() as listener:
            stored.is_used = connection.at(actor_id).call("create_actor", submission, listener)
    return stored.is_used


def call_actor(
    connection: Connection, actor_id: str, call: Any, call_id: str, code: type | None = None
) -> Any:
    """Have an actor called; returns an ``ObjectRef`` to the value. ``code``: the class that ``call`` is of."""
    return _called(connection, "run_method", actor_id, call, call_id, code)


def call_actor_async(connection: Connection, actor_id: str, call: Any, call_id: str) -> Any:
    """Like :func:`call_actor`, but the call is durable when this returns."""
    task_id = unwrapped(_called(connection, "call_actor", actor_id, call, call_id, None))
    return connection.at(actor_id).actor.output.remote(actor_id, task_id, has_started=True)


def _called(
    connection: Connection, verb: str, actor_id: str, call: Any, call_id: str, code: type | None
) -> Any:
    task = context.current.get()
    writer = ValueWriter(connection.store, actor_id, connection.code)
    graph = _graph_of_call(connection, writer, call, code)
    callers = () if task is None else task.callers
    asked = ActorCall(actor_id, graph, call_id, callers)
    with connection.listener.submitting() as listener:
        return getattr(connection.at(actor_id).actor, verb).remote(asked, listener)


def _graph_of_call(
    connection: Connection, writer: ValueWriter, call: Any, code: type | None
) -> Graph:
    if code is not None:
        call.call.options["code"] = connection.code.put(code)
    graph = environment.keep_tasks(connection.store, translate(call, writer))
    if graph.finals:
        raise ValueError(
            "finally_ belongs to workflows; a call of a virtual actor ends without one."
        )
    return graph


def resume(workflow_id: str) -> Any:
    """Continue a workflow from its checkpoints and return its value.

    A successful workflow gives its stored output.

    Raises:
        WorkflowNotResumableError: unknown or cancelled.
        WorkflowRunningError: it is running (a ``RuntimeError``).
        WorkflowExecutionError, WorkflowCancellationError: how it ended this time.
    """
    checked = _resume(workflow_id)
    return _connector.connect().at(checked).value(checked)


def resume_async(workflow_id: str) -> Any:
    """Like :func:`resume`, but returns an ``ObjectRef`` as soon as the workflow is accepted."""
    return output_ref(_resume(workflow_id))


def _resume(workflow_id: str) -> str:
    checked = validate_workflow_id(workflow_id)
    connection = _connector.connect()
    with connection.listener.submitting() as listener:
        connection.at(checked).call("resume", checked, listener)
    return checked


def resume_all(include_failed: bool = False) -> list[tuple[str, Any]]:
    """Resume every RESUMABLE workflow, with ``include_failed`` the FAILED ones too.

    Returns pairs of an id and an ``ObjectRef`` to its value. One that cannot be resumed, or for which
    there is no place within the limits, is left out and stays as it is. Formerly running workflows are taken
    before formerly pending ones (seed 000, "Concurrency Control"). One that was suspended stays so:
    :func:`resume` with its id continues it.
    """
    connection = _connector.connect()
    with connection.listener.submitting() as listener:
        resumed: list[str] = connection.call("resume_all", include_failed, listener)
    return [(workflow_id, output_ref(workflow_id)) for workflow_id in resumed]


def plan_resume(workflow_id: str) -> ResumePlan:
    """What :func:`resume` would do now: which tasks it would run, and which results it would keep.

    Nothing runs. For a workflow that is live it is what a resume would do if it were interrupted now.

    Raises:
        WorkflowNotFoundError: no workflow has this id.

    Source: ``user-demand`` 4.6.
    """
    plan: ResumePlan = _call("plan_resume", workflow_id)
    return plan


def cancel(workflow_id: str, *, force: bool = False) -> None:
    """Stop a workflow for good; returns when nothing of it runs any more. Checkpoints stay.

    Tasks that are running get a KeyboardInterrupt and their ``grace`` to end by themselves; then their
    processes are ended. A value that comes in time is kept. Nothing new starts.

    Args:
        force: end the processes at once, also while an earlier call waits.

    Raises:
        WorkflowNotFoundError: no workflow has this id.
    """
    _call("cancel", workflow_id, bool(force))


def request_cancel(workflow_id: str) -> None:
    """Like :func:`cancel`, but returns when it is durably on record that the workflow is to stop.

    Raises:
        WorkflowNotFoundError: no workflow has this id.
    """
    _call("cancel", workflow_id, False, False)


def suspend(workflow_id: str, *, force: bool = False) -> None:
    """Stop a workflow so that :func:`resume` continues it; returns when nothing of it runs any more.

    It becomes RESUMABLE and its checkpoints stay; attempts that were under way run again. One that
    waits in the queue leaves it. One that has ended stays as it is. Tasks are stopped as by
    :func:`cancel`, with the same ``force``.

    Raises:
        WorkflowNotFoundError: no workflow has this id.
    """
    _call("suspend", workflow_id, bool(force))


def request_suspend(workflow_id: str) -> None:
    """Like :func:`suspend`, but returns when it is durably on record that the workflow is to stop.

    Raises:
        WorkflowNotFoundError: no workflow has this id.
    """
    _call("suspend", workflow_id, False, False)


def delete(workflow_id: str) -> None:
    """Remove a workflow that is not running and everything stored of it.

    Raises:
        WorkflowStillActiveError: it is running or pending.
        WorkflowNotFoundError: no workflow has this id.
    """
    _call("delete", workflow_id)


def get_output(workflow_id: str, *, task_id: str | None = None) -> Any:
    """The value of a workflow or of one of its tasks; waits while the workflow is live.

    Asking never executes anything.

    Raises:
        OutputNotAvailableError: there is no such output (a ``ValueError``).
        WorkflowExecutionError, WorkflowCancellationError: the workflow ended so while waiting.
    """
    return answered(get_output_async(workflow_id, task_id=task_id))


def get_output_async(workflow_id: str, *, task_id: str | None = None) -> Any:
    """Like :func:`get_output`, but returns an ``ObjectRef``."""
    checked = validate_workflow_id(workflow_id)
    return _connector.connect().at(checked).actor.output.remote(checked, task_id)


def get_status(workflow_id: str) -> WorkflowStatus:
    """The status of a workflow.

    Raises:
        WorkflowNotFoundError: no workflow has this id.
    """
    return WorkflowStatus(_call("status", workflow_id))


def get_metadata(workflow_id: str, task_id: str | None = None) -> dict[str, Any]:
    """Status, user metadata and times of a workflow, or options, times and attempts of a task.

    Raises:
        ValueError: no such workflow or task.
    """
    found: dict[str, Any] = _call("metadata", workflow_id, task_id)
    return found


def list_all(
    status_filter: WorkflowStatus | str | set[WorkflowStatus | str] | None = None,
) -> list[tuple[str, WorkflowStatus]]:
    """All workflows with their status, RESUMABLE ones last.

    Args:
        status_filter: a status, its name, or a set of either; None is all.

    Raises:
        TypeError: another type of filter, or a set with something else in it.
        ValueError: a name that is no status, or NONE.
    """
    wanted = statuses_of(status_filter)
    found = _connector.connect().call("list_workflows")
    return [(i, WorkflowStatus(s)) for i, s in found if wanted is None or s in wanted]


def connection(engine: str | None = None) -> Connection:
    """This process's connection to an engine, made if need be; for the modules beside this one.

    Args:
        engine: the name of an engine that something came from; one that does not run stands for the usual.
    """
    return _connector.connect_to(engine)


def disconnect() -> None:
    """Forget the engine that this process uses; the next call connects anew. Nothing is stopped."""
    _connector.disconnect()


def changes(cursor: str | None, timeout: float) -> Changes:
    """Which workflows changed behind ``cursor``; waits up to ``timeout`` seconds for a change.

    Raises:
        EngineUnavailableError: Ray or the engine cannot be reached.
    """
    found: Changes = _connector.connect().call("changes", cursor, timeout)
    return found


def output_of(workflow_id: str) -> Any:
    """The value of a workflow that has ended well, computed once more if it was not to be stored."""
    return answered(output_ref(workflow_id))


def output_ref(workflow_id: str) -> Any:
    """An ``ObjectRef`` to the value of a workflow that was started just now, or has ended well."""
    return _connector.connect().at(workflow_id).output(workflow_id)


def _call(verb: str, workflow_id: str, *args: Any) -> Any:
    """Call the engine that a workflow belongs to, and wait."""
    checked = validate_workflow_id(workflow_id)
    return _connector.connect().at(checked).call(verb, checked, *args)


def _connect_for(dag: Any) -> Connection:
    """The connection, once ``dag`` is known to be a node: a TypeError needs no Ray."""
    if not nodes.is_node(dag):
        translate(dag, None)  # type: ignore[arg-type]
    return _connector.connect()


def fresh_id() -> str:
    """An id for a workflow that was given none."""
    return f"{uuid.uuid4()}.{time.time():.9f}"


def _has_old_names() -> bool:
    """Whether ``ray.workflow`` is RayFlow in this process, see :mod:`rayflow.compat.ray_workflow`."""
    return getattr(sys.modules.get("ray.workflow"), "__name__", None) == "rayflow.workflow"
