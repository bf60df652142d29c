"""What the engine does for tasks that wait: when a wait ends, which message fits, what its value is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jsonschema

from rayflow.core import waits
from rayflow.core.graph import StoredValue
from rayflow.core.outcomes import Outcome
from rayflow.core.records import Fact, Kind
from rayflow.core.state import WorkflowState
from rayflow.core.tasks import TaskState
from rayflow.core.waits import How, Signal, WaitKind
from rayflow.errors import (
    AlreadyAnsweredError,
    ChildWorkflowError,
    InvalidPayloadError,
    NotAssignedError,
    SignalTimeoutError,
    UnknownApprovalError,
    WorkflowError,
)
from rayflow.runtime.nodes import TaskReference
from rayflow.runtime.stopping import described
from rayflow.storage.preview import describe
from rayflow.storage.values import encode


@dataclass(frozen=True, slots=True)
class Message:
    """Something that somebody tells a workflow.

    Attributes:
        kind: ``signal``, ``event``, ``approval`` or ``child``.
        name: of the signal, the key of the event, the id of the task that asks for the approval, or
            that of the child workflow that has ended.
        payload: plain JSON.
        key: two messages with the same key are one.
        by: who sends it.
    """

    kind: str
    name: str
    payload: Any
    key: str | None = None
    by: str | None = None

    @property
    def channel(self) -> str:
        """Where it meets the task that waits for it."""
        return waits.channel(self.kind, self.name)


def begin_facts(state: WorkflowState, task_id: str, now: float) -> list[Fact]:
    """The facts with which a wait begins; messages that came early and do not fit are refused.

    Empty if the task does not want to wait any more. ``now``: Unix seconds.
    """
    task = state.tasks.get(task_id)
    if task is None or task.status != "PENDING" or task_id not in state.waits.beginning:
        return []
    wait = waits.spec(task) or {}
    data: dict[str, Any] = {"until": waits.until(wait, now)}
    if (where := waits.channel_of(task)) is not None:
        unread = state.waits.unread(where)
        data["refused"] = [s.seq for s in unread if _misfit(wait, waits.from_json(s.value))]
    return [Fact(Kind.WAITING, task_id, task.attempt + 1, data)]


def message_facts(state: WorkflowState, message: Message) -> list[Fact]:
    """The fact that a message has come. Empty if it has come before.

    Raises:
        InvalidPayloadError: a task waits for such a message, and this one does not fit its schema.
        UnknownApprovalError, AlreadyAnsweredError, NotAssignedError: it answers no open approval.
    """
    where = message.channel
    if state.waits.knows(where, message.key):
        return []
    if message.kind == WaitKind.APPROVAL:
        _check_approval(state, message)
    if message.kind == WaitKind.CHILD and any(state.waits.unread(where)):
        return []  # nobody has read that it has ended, and that is all there is to say
    for reader in state.waits.readers(where):
        problem = _misfit(waits.spec(state.tasks[reader]) or {}, message.payload)
        if problem:
            raise InvalidPayloadError(state.workflow_id, message.name, problem)
    value = waits.json_value(message.payload)
    data = {
        "channel": where,
        "key": message.key,
        "by": message.by,
        "value": value.describe(),
    }
    return [Fact(Kind.SIGNALED, data=data, value=value.data)]


def outcome(state: WorkflowState, task_id: str, how: How) -> Outcome:
    """What has become of a wait that is over."""
    task = state.tasks[task_id]
    wait = waits.spec(task) or {}
    if wait["kind"] == WaitKind.TASKS:
        return _split(state, task, wait["count"] if how == "met" else len(task.watches))
    signal = state.waits.signals.get(task_id) if how == "met" else None
    if signal is None and wait["kind"] != WaitKind.TIMER:
        default = wait.get("on_timeout") or {}
        if "value" not in default:
            return _expired(state, task, wait)
        return _value(task, default["value"], {})
    if signal is None:
        return _value(task, None, {})
    if wait["kind"] == WaitKind.CHILD:
        return _end_of_child(state, task, waits.from_json(signal.value))
    detail = {"signal": signal.seq, "by": signal.by, "at": signal.time}
    return _value(task, _payload(task, wait, signal), detail)


def _split(state: WorkflowState, task: TaskState, count: int) -> Outcome:
    """The values of up to ``count`` watched tasks, and references to the others, both in order.

    Their values stay where they are stored: the value of the wait only names them.
    """
    done = [w for w in task.watches if state.tasks[w].status == "SUCCESSFUL"][:count]
    values = [_Stored(state.tasks[w].value) for w in done]
    remaining = [TaskReference(w) for w in task.watches if w not in done]
    split = (values, remaining)
    encoded = encode(
        (split, None) if task.options["catch_exceptions"] else split, persistent_id=_inside
    )
    stored = encoded.inline()
    preview = describe({"ready": done, "remaining": [r.task_id for r in remaining]}, stored.size)
    return Outcome("value", value=stored, preview=preview)


@dataclass(frozen=True, slots=True)
class _Stored:
    """Stands for a value that is stored already, and is read as that."""

    value: StoredValue | None


def _inside(value: Any) -> Any:
    return ("input", value.value) if isinstance(value, _Stored) else None


def _payload(task: TaskState, wait: dict[str, Any], signal: Signal) -> Any:
    payload = waits.from_json(signal.value)
    if wait["kind"] == WaitKind.APPROVAL:
        return {**payload, "by": signal.by, "at": signal.time}
    if wait["kind"] == WaitKind.EVENT:
        return (wait.get("name") or task.task_id, payload)
    return payload


def _value(task: TaskState, value: Any, detail: dict[str, Any]) -> Outcome:
    stored = encode((value, None) if task.options["catch_exceptions"] else value).inline()
    return Outcome("value", value=stored, preview=describe(value, stored.size), detail=detail)


def _end_of_child(state: WorkflowState, task: TaskState, end: dict[str, Any]) -> Outcome:
    if end["status"] == "SUCCESSFUL":
        return _value(task, end["child"], {})
    error = ChildWorkflowError(
        state.workflow_id, task.task_id, end["child"], end["status"], end["error"]
    )
    return _failed(error)


def _expired(state: WorkflowState, task: TaskState, wait: dict[str, Any]) -> Outcome:
    what = wait.get("name") or wait.get("title") or task.task_id
    error = SignalTimeoutError(state.workflow_id, task.task_id, what, float(wait["seconds"]))
    return _failed(error)


def _failed(error: WorkflowError) -> Outcome:
    return Outcome("error", value=encode((None, error)).inline(), error=described(error))


def _misfit(wait: dict[str, Any], payload: Any) -> str | None:
    """What is wrong with a payload, if its reader asks for something else."""
    schema = wait.get("schema")
    if schema is None:
        return None
    found = payload.get("answer") if wait["kind"] == WaitKind.APPROVAL else payload
    if wait["kind"] == WaitKind.APPROVAL and not payload["approved"] and found is None:
        return None  # who says no need not say more
    error = jsonschema.exceptions.best_match(
        jsonschema.Draft202012Validator(schema).iter_errors(found)
    )
    return None if error is None else f"{error.json_path}: {error.message}"


def _check_approval(state: WorkflowState, message: Message) -> None:
    task = state.tasks.get(message.name)
    wait = None if task is None else waits.spec(task)
    if task is None or wait is None or wait["kind"] != WaitKind.APPROVAL:
        raise UnknownApprovalError(
            state.workflow_id, message.name, "No such approval is asked for."
        )
    assignees = wait.get("assignees") or []
    if assignees and message.by not in assignees:
        raise NotAssignedError(state.workflow_id, message.name, message.by, tuple(assignees))
    if task.status != "PENDING" or message.name in state.waits.met:
        raise AlreadyAnsweredError(state.workflow_id, message.name, "Its first answer stands.")
    if message.name not in state.waits.until:
        raise UnknownApprovalError(
            state.workflow_id, message.name, "It is not asked for yet; its inputs are not there."
        )


def check_schema(schema: dict[str, Any]) -> None:
    """Refuse what is no JSON Schema. Raises ValueError."""
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.exceptions.SchemaError as error:
        raise ValueError(f"schema is no JSON Schema: {error.message}.") from None
