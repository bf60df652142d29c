"""Forks: a new workflow from the checkpoints of another one.

Values are not copied: the fork uses those of its origin, which therefore cannot be deleted before it. A
mark in the origin's folder says so; it counts as long as a workflow with the fork's id exists.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from rayflow.core import forking
from rayflow.core.foresight import ResumePlan
from rayflow.core.records import Fact, Kind, Record, WorkflowStatus
from rayflow.core.state import WorkflowState, fold
from rayflow.errors import WorkflowNotForkableError
from rayflow.runtime import foresight
from rayflow.runtime.intake import Opened, fresh_journal
from rayflow.storage import layout
from rayflow.storage.journal import Journal
from rayflow.storage.store import Store


@dataclass(frozen=True, slots=True)
class Fork:
    """A request to run a workflow from the checkpoints of ``origin``.

    ``from_tasks`` run again, with all that depends on them and all that has not ended well. ``metadata``
    and ``tags`` replace those of the origin if they are given. The rest is as in
    :class:`rayflow.runtime.intake.Submission`.
    """

    workflow_id: str
    origin: str
    token: str
    from_tasks: tuple[str, ...] = ()
    metadata: dict[str, Any] | None = None
    tags: dict[str, Any] | None = None
    created_by: str | None = None
    must_be_new: bool = True
    actor: None = field(default=None, init=False)
    parent: None = field(default=None, init=False)


def create(
    store: Store, fork: Fork, *, before_delete: Callable[[], None], first_epoch: int
) -> Opened:
    """The fork as a new workflow. Nothing but marks in the folders of the origins is written yet.

    Raises:
        ValueError: it cannot begin at one of ``from_tasks``.
        WorkflowNotForkableError: there is nothing to fork.
        JournalCorruptError: the journal of the origin is damaged.
    """
    records, state = _load(store, fork.origin)
    found = forking.boundary(state, records, fork.from_tasks)
    first = next(record for record in records if record.kind == Kind.ACCEPTED)
    accepted = {
        **{key: value for key, value in first.data.items() if key != "parent"},
        "workflow_id": fork.workflow_id,
        "submission": fork.token,
        "forked_from": {"workflow_id": fork.origin, "from_tasks": list(fork.from_tasks)},
        "borrows": list(forking.borrowed(first.data)),
        "created_by": fork.created_by,
    }
    if fork.metadata is not None:
        accepted["metadata"] = fork.metadata
    if fork.tags is not None:
        accepted["tags"] = fork.tags
    journal = fresh_journal(store, fork.workflow_id, before_delete)
    _mark(store, fork.workflow_id, accepted["borrows"])
    facts = forking.taken_over(state, records, found)
    return Opened(
        WorkflowState(),
        journal.create(first_epoch),
        [Fact(Kind.ACCEPTED, data=accepted, value=first.value), *facts],
    )


def plan(
    store: Store, origin: str, status: WorkflowStatus, from_tasks: tuple[str, ...]
) -> ResumePlan:
    """What a fork would run and what it would take over, checked against the storage.

    Raises:
        As :func:`create`.
    """
    records, state = _load(store, origin)
    found = forking.boundary(state, records, from_tasks)
    return foresight.checked(store, state, forking.plan(state, status, found))


def release(store: Store, workflow_id: str) -> None:
    """Take the marks of a workflow, if it is a fork, away from its origins; it is about to be deleted."""
    key = layout.lenders(workflow_id)
    if store.size(key) is not None:
        for lender in json.loads(store.read(key)):
            store.delete(layout.fork(lender, workflow_id))


def _mark(store: Store, fork_id: str, lenders: list[str]) -> None:
    store.write(layout.lenders(fork_id), [json.dumps(lenders).encode()])
    for lender in lenders:
        store.write(layout.fork(lender, fork_id), [fork_id.encode()])


def marked(store: Store, workflow_id: str) -> Iterator[str]:
    """The ids of the forks that use the values of a workflow, unless they have been deleted."""
    folder = layout.forks(workflow_id)
    for name, _ in store.list(folder):
        try:
            yield store.read(f"{folder}/{name}").decode()
        except KeyError:
            continue  # the fork has just been deleted


def _load(store: Store, origin: str) -> tuple[list[Record], WorkflowState]:
    records = Journal(store, origin).load()
    state = fold(records)
    if not records:
        raise WorkflowNotForkableError(origin, "Nothing is stored of it.")
    if state.calls is not None:
        raise WorkflowNotForkableError(origin, "It is a virtual actor.")
    return records, state
