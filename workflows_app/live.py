"""What the live topics say: reading one topic from the registry and telling what is new.

The database is the log. A doorbell only says when to look here, so a lost or doubled doorbell
changes nothing but the moment of looking.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Max

from workflows_app import access, queries
from workflows_app.models import Task
from workflows_app.problems import Forbidden, Invalid

MAX_LIST_IDS = 200
# More changed tasks than this are not sent one by one: the page fetches what it shows.
MAX_TASK_ROWS = 200
ERROR_HEAD = 500

GLOBAL_TOPICS = frozenset({"list", "overview"})
WORKFLOW_TOPICS = frozenset({"workflow", "tasks"})

ROW_FIELDS = (
    "workflow_id", "status", "definition", "created_at", "started_at", "finished_at",
    "duration_ms", "tasks_total", "tasks_pending", "tasks_running", "tasks_successful",
    "tasks_failed", "tasks_canceled", "pending_command", "event_seq", "error",
)  # fmt: skip
TASK_FIELDS = (
    "task_id", "name", "status", "attempt", "started_at", "finished_at", "duration_ms",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Topic:
    """What a page can listen to, parsed from its text form."""

    text: str
    kind: str
    workflow_id: str
    ids: tuple[str, ...] = ()


@dataclass(slots=True)
class Subscription:
    """One topic of one socket, and what has been sent of it.

    `rev` is a workflow's event number for its own topics, and milliseconds for the others; either
    way a later state never has a smaller one, also after a reconnect to another process.
    """

    id: str
    topic: Topic
    rev: int = 0
    seen: Any = None
    is_new: bool = True


@dataclass(frozen=True, slots=True)
class News:
    """What a look at a topic found, ready to be sent."""

    type: str
    rev: int
    data: dict[str, Any] | None = None
    extra: dict[str, Any] = field(default_factory=dict)


def parse(text: str, params: Mapping[str, Any]) -> Topic:
    """Parse a topic.

    Raises:
        Invalid: there is no such topic, or its parameters do not fit.
    """
    kind, _, workflow_id = text.partition(":")
    ids = params.get("ids", [])
    if not isinstance(ids, list) or len(ids) > MAX_LIST_IDS:
        raise Invalid(f"params.ids must be a list of at most {MAX_LIST_IDS} workflow ids.")
    if workflow_id and kind in WORKFLOW_TOPICS:
        return Topic(text, kind, workflow_id)
    if not workflow_id and kind in GLOBAL_TOPICS:
        return Topic(text, kind, "", tuple(str(each) for each in ids))
    raise Invalid(
        f"There is no topic {text[:80]!r}; topics are: list, overview, workflow:<id>, tasks:<id>."
    )


def check(user: User) -> None:
    """Raise Forbidden unless `user` may watch workflows at all."""
    if not access.can(user, "view_workflow"):
        raise Forbidden("Watching workflows needs the permission 'view_workflow'.")


def look(user: User, subscriptions: Iterable[Subscription]) -> list[tuple[Subscription, News]]:
    """What is new on these subscriptions since the last look; remembers what it tells.

    Raises:
        Forbidden: the account may not watch workflows (any more).
    """
    check(user)
    found = []
    for subscription in subscriptions:
        news = _READERS[subscription.topic.kind](user, subscription)
        if news is not None:
            subscription.is_new = False
            found.append((subscription, news))
    return found


def _read_workflow(user: User, subscription: Subscription) -> News | None:
    row = (
        access.workflows_for(user)
        .filter(workflow_id=subscription.topic.workflow_id)
        .values(*ROW_FIELDS, "journal_problem")
        .first()
    )
    return _told(user, subscription, row)


def _told(user: User, subscription: Subscription, row: dict[str, Any] | None) -> News | None:
    if row is None:
        # A launch is watched before the workflow shows; a deleted one is told once.
        was_there = subscription.seen is not None
        subscription.seen, subscription.rev = None, 0
        if was_there:
            return News("reset", 0, extra={"reason": "gone"})
        return News("snap", 0) if subscription.is_new else None
    shown = _row(user, row)
    if shown == subscription.seen:
        return None
    # A change without an event, such as a pending command, has no number and is always heeded.
    is_event = subscription.is_new or row["event_seq"] > subscription.rev
    kind = "snap" if subscription.is_new else "patch"
    subscription.seen, subscription.rev = shown, row["event_seq"]
    return News(kind, row["event_seq"] if is_event else 0, shown)


def _read_tasks(user: User, subscription: Subscription) -> News | None:
    workflow = (
        access.workflows_for(user)
        .filter(workflow_id=subscription.topic.workflow_id)
        .values("id", "event_seq")
        .first()
    )
    if workflow is None or (subscription.rev >= workflow["event_seq"] and not subscription.is_new):
        return News("snap", 0) if workflow is None and subscription.is_new else None
    changed = Task.objects.filter(
        workflow_id=workflow["id"], changed_seq__gt=subscription.rev
    ).order_by("changed_seq", "id")
    rows = list(changed.values(*TASK_FIELDS)[: MAX_TASK_ROWS + 1])
    kind = "snap" if subscription.is_new else "patch"
    subscription.rev = workflow["event_seq"]
    if len(rows) > MAX_TASK_ROWS:
        return News(kind, subscription.rev, {"tasks": [], "truncated": True})
    return News(kind, subscription.rev, {"tasks": [_plain(row) for row in rows]})


def _read_list(user: User, subscription: Subscription) -> News | None:
    visible = access.workflows_for(user)
    newest = visible.aggregate(newest=Max("id"), changed=Max("changed_at"))
    rows = visible.filter(workflow_id__in=subscription.topic.ids).values(*ROW_FIELDS)
    shown = {row["workflow_id"]: _row(user, row) for row in rows}
    # Without rows to watch, any change of any workflow is news.
    head = newest["newest"] if subscription.topic.ids else (newest["newest"], newest["changed"])
    seen: tuple[Any, dict[str, Any]] = subscription.seen or (None, {})
    if not subscription.is_new and seen == (head, shown):
        return None
    changed = [row for key, row in shown.items() if seen[1].get(key) != row]
    gone = sorted(seen[1].keys() - shown.keys())
    has_new = seen[0] is not None and head != seen[0]
    subscription.seen = (head, shown)
    return _numbered(subscription, {"rows": changed, "gone": gone, "has_new": has_new})


def _read_overview(user: User, subscription: Subscription) -> News | None:
    head = access.workflows_for(user).aggregate(changed=Max("changed_at"), newest=Max("id"))
    freshness = queries.follower()
    seen = (head, freshness["alive"], freshness["engine_reachable"])
    if seen == subscription.seen and not subscription.is_new:
        return None
    subscription.seen = seen
    return _numbered(subscription, {"follower": freshness})


def _numbered(subscription: Subscription, data: dict[str, Any]) -> News:
    kind = "snap" if subscription.is_new else "patch"
    subscription.rev = max(subscription.rev + 1, int(time.time() * 1000))
    return News(kind, subscription.rev, data)


def _row(user: User, row: Mapping[str, Any]) -> dict[str, Any]:
    shown = _plain(row)
    error = shown.pop("error")
    if error and access.can(user, "view_payload"):
        head = f"{error.get('type', 'Error')}: {error.get('message', '')}"
        shown["error_head"] = head[:ERROR_HEAD]
    return shown


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: value.isoformat() if isinstance(value, datetime) else value
        for key, value in row.items()
    }


_READERS = {
    "workflow": _read_workflow,
    "tasks": _read_tasks,
    "list": _read_list,
    "overview": _read_overview,
}
