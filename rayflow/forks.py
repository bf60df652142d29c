"""``workflow.fork``: a new workflow from the checkpoints of one that has ended."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

from rayflow import api
from rayflow.core.foresight import ResumePlan
from rayflow.core.ids import validate_workflow_id
from rayflow.options import check_metadata
from rayflow.runtime.connection import answered
from rayflow.runtime.forks import Fork


def fork(
    workflow_id: str,
    *,
    from_tasks: str | Iterable[str] = (),
    new_workflow_id: str | None = None,
    metadata: dict[str, Any] | None = None,
) -> Any:
    """Run a new workflow from the checkpoints of another one, which stays as it is; return its value.

    The tasks ``from_tasks`` run again, with everything that depends on them and everything that has not
    ended well; without any, that is what a resume would run. All other outcomes are taken over. ``finally_``
    tasks run again in any case. Messages and child workflows stay with the origin.

    The fork uses the stored values of its origin, so that one can be deleted only after it.

    Args:
        workflow_id: of a workflow that is not running, CANCELED ones too.
        from_tasks: a task id, or several.
        new_workflow_id: the id of the fork; default a random one.
        metadata: instead of the metadata of the origin.

    Raises:
        WorkflowNotFoundError: no workflow has this id.
        WorkflowRunningError: it is running or pending.
        WorkflowNotForkableError: it is a virtual actor, or nothing of it is stored (a ``ValueError``).
        WorkflowExistsError: the new id is taken.
        ValueError: a task that it does not have or cannot begin at, a bad id or bad metadata.
        WorkflowExecutionError, WorkflowCancellationError: how the fork ended.

    Source: ``operator-console`` 3.2.
    """
    ref = fork_async(
        workflow_id, from_tasks=from_tasks, new_workflow_id=new_workflow_id, metadata=metadata
    )
    return answered(ref)


def fork_async(
    workflow_id: str,
    *,
    from_tasks: str | Iterable[str] = (),
    new_workflow_id: str | None = None,
    metadata: dict[str, Any] | None = None,
) -> Any:
    """Like :func:`fork`, but returns an ``ObjectRef`` as soon as the fork is accepted."""
    chosen = api.fresh_id() if new_workflow_id is None else new_workflow_id
    submit(workflow_id, chosen, from_tasks=_names(from_tasks), metadata=metadata, listens=True)
    return api.output_ref(chosen)


def plan_fork(workflow_id: str, *, from_tasks: str | Iterable[str] = ()) -> ResumePlan:
    """What :func:`fork` would do now: which tasks it would run, and which outcomes it would take over.

    Raises:
        WorkflowNotFoundError, WorkflowNotForkableError, ValueError: as :func:`fork`.
    """
    checked = validate_workflow_id(workflow_id)
    plan: ResumePlan = api.connection().at(checked).call("plan_fork", checked, _names(from_tasks))
    return plan


def submit(
    workflow_id: str,
    new_workflow_id: str,
    *,
    from_tasks: tuple[str, ...] = (),
    metadata: dict[str, Any] | None = None,
    tags: dict[str, Any] | None = None,
    created_by: str | None = None,
    token: str | None = None,
    listens: bool = False,
) -> None:
    """Have a fork accepted; what :func:`fork_async` and the web application share.

    Args:
        token: makes a repeated call with the same token the same request.
        listens: whether this process is told what happens to it.
    """
    asked = Fork(
        validate_workflow_id(new_workflow_id),
        validate_workflow_id(workflow_id),
        token or uuid.uuid4().hex,
        from_tasks,
        None if metadata is None else check_metadata(metadata),
        tags,
        created_by,
    )
    connection = api.connection()
    engine = connection.at(asked.origin)
    if not listens:
        engine.call("fork", asked)
        return
    with connection.listener.submitting() as listener:
        engine.call("fork", asked, listener)


def _names(from_tasks: str | Iterable[str]) -> tuple[str, ...]:
    names = (from_tasks,) if isinstance(from_tasks, str) else tuple(from_tasks)
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"from_tasks takes task ids (str), not {name!r}.")
    return names
