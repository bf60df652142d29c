"""Messages to workflows, and the tasks that wait for them: signals and approvals.

They are durable and hold no process: a message is recorded before its sender gets an answer, and a task
that waits for one exists in the engine's memory and in the journal alone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pydantic import TypeAdapter

from rayflow.api import connection
from rayflow.core.ids import validate_workflow_id
from rayflow.core.waits import WaitKind
from rayflow.errors import InvalidPayloadError
from rayflow.options import check_seconds
from rayflow.runtime import nodes
from rayflow.runtime.waiting import Message, check_schema

MAX_PAYLOAD_BYTES = 256 * 1024
RAISE = "raise"


def wait_for_signal(
    name: str,
    *,
    schema: Any = None,
    timeout: float | None = None,
    on_timeout: Any = RAISE,
    task_id: str | None = None,
) -> Any:
    """A DAG node whose value is the payload of the next signal with this name.

    Signals that came before it began to wait are kept for it. Each is read by one task, in the order in
    which they came; those that do not fit the ``schema`` are left out.

    Args:
        name: which signals, see :func:`signal`.
        schema: a JSON Schema, or a type that pydantic can make one of, which the payload must fit.
        timeout: seconds to wait, from when the task could start; None waits for ever.
        on_timeout: the value then, plain JSON; ``"raise"`` raises :class:`SignalTimeoutError`, an
            error of the task like any other.
        task_id: the id of the task; default ``workflow.wait_for_signal``.

    Raises:
        TypeError, ValueError: an argument that makes no sense.
    """
    wait = {
        "kind": WaitKind.SIGNAL,
        "name": _name("name", name),
        **_terms(schema, timeout),
        "on_timeout": None if on_timeout == RAISE else {"value": _plain("on_timeout", on_timeout)},
    }
    return nodes.waiting(_alone, task_id or "workflow.wait_for_signal", wait)


def approval(
    title: str,
    *,
    schema: Any = None,
    assignees: Sequence[str] = (),
    timeout: float | None = None,
    on_timeout: str = "reject",
    task_id: str | None = None,
) -> Any:
    """A DAG node whose value is what a person decides.

    The value is ``{"approved": bool, "by": str | None, "at": float | None, "answer": JSON}``: who answered
    and when (Unix seconds), and what they said besides. The first answer counts.

    Args:
        title: the question, for people.
        schema: a JSON Schema, or a type that pydantic can make one of, for the ``answer``.
        assignees: who may answer; empty is everybody.
        timeout: seconds to wait, from when the task could start; None waits for ever.
        on_timeout: ``"reject"`` or ``"approve"``, with ``by`` None; or ``"raise"``
            :class:`SignalTimeoutError`.
        task_id: the id of the task, by which it is answered; default ``workflow.approval``.

    Raises:
        TypeError, ValueError: an argument that makes no sense.
    """
    if on_timeout not in ("reject", "approve", RAISE):
        raise ValueError(f"on_timeout is 'reject', 'approve' or 'raise', not {on_timeout!r}.")
    if isinstance(assignees, str):
        raise TypeError(f"assignees is a list of names, not {assignees!r}.")
    default = {"approved": on_timeout == "approve", "by": None, "at": None, "answer": None}
    wait = {
        "kind": WaitKind.APPROVAL,
        "title": _name("title", title),
        "assignees": [_name("an assignee", who) for who in assignees],
        **_terms(schema, timeout),
        "on_timeout": None if on_timeout == RAISE else {"value": default},
    }
    return nodes.waiting(_alone, task_id or "workflow.approval", wait)


def signal(
    workflow_id: str,
    name: str,
    payload: Any = None,
    *,
    key: str | None = None,
    by: str | None = None,
) -> None:
    """Send a signal to a workflow; durable when this returns.

    A running or pending workflow has it at once, a RESUMABLE one when it is resumed. It is kept until
    a task with :func:`wait_for_signal` reads it.

    Args:
        workflow_id: the workflow.
        name: the name that the task waits for.
        payload: plain JSON of at most 256 KiB.
        key: makes the signal one, however often it is sent with this key.
        by: who sends it; recorded.

    Raises:
        WorkflowNotFoundError: no workflow has this id.
        WorkflowEndedError: it has ended.
        InvalidPayloadError: the payload is no JSON, is too large, or does not fit the schema of the task
            that waits for it.
    """
    tell(workflow_id, Message(WaitKind.SIGNAL, name, payload, key, by))


def answer(
    workflow_id: str, task_id: str, approved: bool, *, by: str | None = None, payload: Any = None
) -> None:
    """Answer an approval that a workflow asks for; durable when this returns. The first answer counts.

    Args:
        workflow_id: the workflow.
        task_id: the task made with :func:`approval`.
        approved: yes or no.
        by: who answers; recorded, and compared with the ``assignees``.
        payload: plain JSON, the ``answer`` that the workflow gets; it must fit the approval's schema,
            unless it is left out with a no.

    Raises:
        WorkflowNotFoundError: no workflow has this id.
        WorkflowEndedError: it has ended.
        UnknownApprovalError: it does not ask for this approval, or not yet.
        AlreadyAnsweredError: somebody was quicker.
        NotAssignedError: it is for others to answer (a ``PermissionError``).
        InvalidPayloadError: the payload does not fit.
    """
    if not isinstance(approved, bool):
        raise TypeError(f"approved is True or False, not {approved!r}.")
    said = {"approved": approved, "answer": payload}
    tell(workflow_id, Message(WaitKind.APPROVAL, task_id, said, None, by))


def send(
    kind: str, workflow_id: str, name: str, payload: Any, *, key: str | None, by: str | None
) -> None:
    """Send a message of any ``kind``: ``signal``, ``approval`` or ``event``. For the console."""
    tell(workflow_id, Message(WaitKind(kind), name, payload, key, by))


def tell(workflow_id: str, message: Message) -> None:
    """Send a message; what signals, answers and events over HTTP share."""
    checked = validate_workflow_id(workflow_id)
    _name("name", message.name)
    for what in ("key", "by"):
        if getattr(message, what) is not None:
            _name(what, getattr(message, what))
    payload = _checked_payload(checked, message.name, message.payload)
    connection().at(checked).call("tell", checked, replace(message, payload=payload))


def _checked_payload(workflow_id: str, name: str, payload: Any) -> Any:
    try:
        text = json.dumps(payload, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        problem = f"It is not plain JSON: {error}."
        raise InvalidPayloadError(workflow_id, name, problem) from None
    if len(text.encode("utf-8", "surrogatepass")) > MAX_PAYLOAD_BYTES:
        problem = f"It has more than {MAX_PAYLOAD_BYTES // 1024} KiB of JSON."
        raise InvalidPayloadError(workflow_id, name, problem)
    return json.loads(text)


def _terms(schema: Any, timeout: float | None) -> dict[str, Any]:
    return {"schema": _schema(schema), "seconds": check_seconds("timeout", timeout)}


def _schema(schema: Any) -> dict[str, Any] | None:
    if schema is None:
        return None
    found = schema if isinstance(schema, dict) else TypeAdapter(schema).json_schema()
    check_schema(found)
    return found


def _name(what: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError(f"{what} is a non-empty string, not {value!r}.")
    return value


def _plain(what: str, value: Any) -> Any:
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{what} is plain JSON, not {value!r:.100}: {error}.") from None


def _alone() -> None:
    raise RuntimeError(
        "Signals and approvals reach workflows only; run the DAG with workflow.run instead of execute()."
    )
