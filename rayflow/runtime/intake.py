"""How a workflow comes into the hands of an engine: newly submitted, or taken over from its journal.

Both end the same way: a state, the owner's end of the journal, and the facts to commit first. The
functions here do storage I/O; the engine calls them in threads.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from rayflow.core import finals
from rayflow.core.graph import Graph, task_facts
from rayflow.core.planner import failed_tasks, lost_values
from rayflow.core.records import Fact, Kind, WorkflowStatus
from rayflow.core.state import WorkflowState
from rayflow.errors import (
    VirtualActorNotFoundError,
    WorkflowEndedError,
    WorkflowNotFoundError,
    WorkflowTaskNotRecoverableError,
)
from rayflow.runtime.waiting import Message, message_facts
from rayflow.storage import layout
from rayflow.storage.journal import Journal, JournalWriter
from rayflow.storage.store import Store


@dataclass(frozen=True, slots=True)
class Submission:
    """A request to run a graph.

    ``token`` tells a repeated call from a second submission; with ``must_be_new`` a known id is an
    error instead of a resume. ``definition``, ``params``, ``tags``, ``created_by`` and ``runtime_env``
    (whose packages the storage has) are recorded. ``old_names``: tasks may use ``ray.workflow``.
    ``actor``: of a virtual actor, the ``name`` of its class and whether it ``replays`` failed calls; the graph
    is its first call.
    ``parent``: of a child workflow the ``workflow_id`` and ``task_id`` that start it, whether it ``waits`` for
    it, and what ``on_cancel`` does.
    """

    workflow_id: str
    graph: Graph
    token: str
    metadata: dict[str, Any] = field(default_factory=dict)
    definition: str | None = None
    params: dict[str, Any] | None = None
    tags: dict[str, Any] = field(default_factory=dict)
    created_by: str | None = None
    must_be_new: bool = False
    workflow_timeout: float | None = None
    runtime_env: dict[str, Any] | None = None
    old_names: bool = False
    parent: dict[str, Any] | None = None
    actor: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """A workflow ready to be driven. Without a ``writer`` there is nothing left to do for it."""

    state: WorkflowState
    writer: JournalWriter | None
    first: list[Fact]

    def environments(self) -> Iterator[dict[str, Any] | None]:
        """The ``runtime_env`` of the workflow and of its tasks, where there are any."""
        yield self.state.runtime_env
        for task in self.state.tasks.values():
            yield task.options["ray"].get("runtime_env")
        for fact in self.first:
            if fact.kind is Kind.ACCEPTED and fact.value:
                yield json.loads(fact.value)
            elif fact.kind is Kind.TASK:
                yield fact.data["options"]["ray"].get("runtime_env")


def status_fact(status: WorkflowStatus, error: dict[str, Any] | None = None) -> Fact:
    """The fact that a workflow has ``status`` now."""
    data = {"status": str(status), "reason": None, "error": error, "output": None}
    return Fact(Kind.STATUS, data=data)


def create(
    store: Store,
    submission: Submission,
    *,
    before_delete: Callable[[], None] = lambda: None,
    first_epoch: int = 1,
) -> Opened:
    """A new workflow, whose journal begins with ``first_epoch``. Nothing is written yet.

    ``before_delete`` is called before the remains of an older submission are removed; it raises if
    they must stay.
    """
    is_actor = submission.actor is not None
    call_id = submission.token if is_actor else None
    facts, root = task_facts(submission.graph, {}, {}, is_stored=is_actor, call_id=call_id)
    accepted = {
        "workflow_id": submission.workflow_id,
        "root": root,
        "submission": submission.token,
        "definition": submission.definition,
        "params": submission.params,
        "metadata": submission.metadata,
        "tags": submission.tags,
        "created_by": submission.created_by,
        "task_count": len(facts),
        "workflow_timeout": submission.workflow_timeout,
    }
    if submission.parent is not None:
        accepted["parent"] = submission.parent
    if submission.actor is not None:
        accepted["actor"] = submission.actor
    if submission.graph.outer_first:
        accepted["steps"] = True
    if submission.old_names:
        accepted["old_names"] = True
    journal = fresh_journal(store, submission.workflow_id, before_delete)
    # Beside the data, which is shown: it may hold secrets.
    hidden = json.dumps(submission.runtime_env).encode() if submission.runtime_env else None
    first = Fact(Kind.ACCEPTED, data=accepted, value=hidden)
    return Opened(WorkflowState(), journal.create(first_epoch), [first, *facts])


def fresh_journal(store: Store, workflow_id: str, before_delete: Callable[[], None]) -> Journal:
    """The journal of a new workflow, without the remains of a request that was never acknowledged.

    Those are not in the index. ``before_delete`` raises if they must stay.
    """
    journal = Journal(store, workflow_id)
    if journal.exists():
        before_delete()
        store.delete(layout.journal(workflow_id))
    return journal


def adopt(store: Store, workflow_id: str, *, resume: bool) -> Opened:
    """Claim a stored workflow. ``resume``: somebody asked for it, so failed tasks run again.

    Raises:
        WorkflowNotResumableError: there is nothing to resume.
        FencedError: another engine was quicker.
        JournalCorruptError: the journal is damaged.
    """
    journal = Journal(store, workflow_id)
    state = journal.replay()
    if not state.last_seq:
        raise WorkflowTaskNotRecoverableError(workflow_id, "Nothing was stored of it.")
    if _is_over(state, resume):
        return Opened(state, None, [])
    writer = journal.claim(time.time(), state)
    if writer is None:
        return adopt(store, workflow_id, resume=resume)
    asked = resume or (state.is_finished and not state.suspend_requested)
    if (state.error is not None or state.suspend_requested or state.timed_out) and not asked:
        return Opened(state, writer, [])  # it had failed or been stopped, and is to end so
    again = failed_tasks(state) if asked else []
    reset = lost_values(state, again) + again
    if asked:
        reset += finals.again(state, reset)
    facts = [Fact(Kind.RESUMED, data={"reset": reset, "asked": asked})] if reset or resume else []
    return Opened(state, writer, facts)


def awaken(store: Store, actor_id: str) -> Opened:
    """Claim an actor that somebody calls. One whose calls had stopped goes on with them first.

    Raises:
        VirtualActorNotFoundError: a workflow that is no actor has this id.
        WorkflowEndedError: it was cancelled.
        FencedError: another engine was quicker.
        JournalCorruptError: the journal is damaged.
    """
    journal = Journal(store, actor_id)
    state = journal.replay()
    if state.calls is None:
        raise VirtualActorNotFoundError(actor_id)
    if state.cancel_requested:
        raise WorkflowEndedError(actor_id, "It was cancelled, which is final.")
    writer = journal.claim(time.time(), state)
    if writer is None:
        return awaken(store, actor_id)
    data = {"reset": failed_tasks(state), "asked": True}
    is_idle = state.status is WorkflowStatus.SUCCESSFUL
    return Opened(state, writer, [] if is_idle else [Fact(Kind.RESUMED, data=data)])


def _is_over(state: WorkflowState, resume: bool) -> bool:
    """Whether there is nothing to do: its end is recorded, and nobody asks for another one."""
    if state.status is WorkflowStatus.SUCCESSFUL:
        return not (resume and lost_values(state))
    is_to_be_canceled = state.cancel_requested and state.status is not WorkflowStatus.CANCELED
    return state.is_finished and not resume and not is_to_be_canceled


def tell_at_rest(store: Store, workflow_id: str, message: Message) -> None:
    """Record a message to a workflow that nobody drives; it reads it when it is resumed.

    Raises:
        WorkflowNotFoundError: nothing is stored of it; a delete was interrupted.
        WorkflowEndedError: it has its output.
        WorkflowError: the message is refused, see :func:`rayflow.runtime.waiting.message_facts`.
        FencedError: another engine was quicker.
        JournalCorruptError: the journal is damaged.
    """
    journal = Journal(store, workflow_id)
    state = journal.replay()
    if not state.last_seq:
        raise WorkflowNotFoundError(workflow_id)
    if state.status is WorkflowStatus.SUCCESSFUL and state.calls is None:
        raise WorkflowEndedError(workflow_id, "It is SUCCESSFUL.")
    facts = message_facts(state, message)
    if not facts:
        return
    writer = journal.claim(time.time(), state)
    if writer is None:
        tell_at_rest(store, workflow_id, message)
    else:
        writer.commit([fact.at(state.last_seq + 1, time.time()) for fact in facts])


def cancel_at_rest(store: Store, workflow_id: str) -> bool:
    """Record that a workflow that nobody drives is cancelled.

    Returns False if that is only requested, since ``finally_`` tasks are due: adopt it then.

    Raises:
        WorkflowNotFoundError: nothing is stored of it; a delete was interrupted.
        FencedError: another engine was quicker.
        JournalCorruptError: the journal is damaged.
    """
    journal = Journal(store, workflow_id)
    state = journal.replay()
    if not state.last_seq:
        raise WorkflowNotFoundError(workflow_id)
    writer = journal.claim(time.time(), state)
    if writer is None:
        return cancel_at_rest(store, workflow_id)
    is_over = not (state.has_run and finals.due(state))
    facts = [] if state.cancel_requested else [Fact(Kind.CANCEL_REQUESTED)]
    if is_over:
        facts.append(status_fact(WorkflowStatus.CANCELED))
    last, now = state.last_seq, time.time()
    if facts:
        writer.commit([fact.at(last + n, now) for n, fact in enumerate(facts, start=1)])
    return is_over
