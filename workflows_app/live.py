"""What the live topics say: reading many of them from the registry at once, and telling each page what is new.

The database is the log. A doorbell only says when to look here, so a lost or doubled doorbell
changes nothing but the moment of looking. A topic is read once for everybody who listens to it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Max

from workflows_app import access, queries
from workflows_app.models import BulkOperation, Command, Task, Workflow
from workflows_app.problems import Forbidden, Invalid
from workflows_app.projection import IN_LIMIT, in_chunks

MAX_LIST_IDS = 200
# More changed tasks than this are not sent one by one: the page fetches what it shows.
MAX_TASK_ROWS = 200
ERROR_HEAD = 500

GLOBAL_TOPICS = frozenset({"list", "overview"})
WORKFLOW_TOPICS = frozenset({"workflow", "tasks"})
ASKED_TOPICS = frozenset({"bulk", "operation"})

ROW_FIELDS = (
    "workflow_id", "status", "definition", "created_at", "started_at", "finished_at",
    "duration_ms", "tasks_total", "tasks_pending", "tasks_running", "tasks_successful",
    "tasks_failed", "tasks_canceled", "pending_command", "event_seq", "error", "resolved",
    "journal_problem",
)  # fmt: skip
TASK_FIELDS = (
    "task_id", "name", "status", "attempt", "started_at", "finished_at", "duration_ms", "changed_seq",
)  # fmt: skip
BULK_FIELDS = ("id", "kind", "state", "total", "done", "skipped", "failed", "finished_at")
COMMAND_FIELDS = ("id", "kind", "workflow_id", "state", "attempts", "finished_at")

Data = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Topic:
    """What a page can listen to, parsed from its text form."""

    text: str
    kind: str
    key: str = ""
    ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """A workflow as the topics show it: for who may see values, and for who may not."""

    seq: int
    full: Data
    public: Data

    def shown(self, *, payload: bool) -> Data:
        return self.full if payload else self.public


@dataclass(slots=True)
class View:
    """What one look at the registry has found."""

    rows: dict[str, Row | None] = field(default_factory=dict)
    tasks: dict[str, list[Data]] = field(default_factory=dict)
    asked: dict[str, Data | None] = field(default_factory=dict)
    newest: int | None = None
    changed: datetime | None = None
    follower: Data | None = None


@dataclass(frozen=True, slots=True)
class News:
    """What is new on a topic, ready to be sent."""

    type: str
    rev: int
    data: Data | None = None
    extra: Data = field(default_factory=dict)


@dataclass(slots=True)
class Subscription:
    """One topic of one socket, and what has been sent of it.

    `rev` is a workflow's event number for its own topics, and milliseconds for the others; either
    way a later state never has a smaller one, also after a reconnect to another process.
    """

    id: str
    topic: Topic
    rev: int = 0
    payload: bool = False
    seen: Any = None
    is_new: bool = True

    def tell(self, view: View) -> News | None:
        """What is new for this page in ``view``; remembers what it tells."""
        news = _TELLERS[self.topic.kind](self, view)
        if news is not None:
            self.is_new = False
        return news


def parse(text: str, params: Mapping[str, Any]) -> Topic:
    """Parse a topic.

    Raises:
        Invalid: there is no such topic, or its parameters do not fit.
    """
    kind, _, key = text.partition(":")
    ids = params.get("ids", [])
    if not isinstance(ids, list) or len(ids) > MAX_LIST_IDS:
        raise Invalid(f"params.ids must be a list of at most {MAX_LIST_IDS} workflow ids.")
    if key and (kind in WORKFLOW_TOPICS or (kind in ASKED_TOPICS and _is_uuid(key))):
        return Topic(text, kind, key)
    if not key and kind in GLOBAL_TOPICS:
        return Topic(text, kind, "", tuple(str(each) for each in ids))
    raise Invalid(
        f"There is no topic {text[:80]!r}; topics are: list, overview, workflow:<id>, tasks:<id>,"
        " bulk:<id>, operation:<id>."
    )


def check(user: User) -> None:
    """Raise Forbidden unless `user` may watch workflows at all."""
    if not access.can(user, "view_workflow"):
        raise Forbidden("Watching workflows needs the permission 'view_workflow'.")


# --- reading, once for all who listen ---------------------------------------------------------


def read(subscriptions: Collection[Subscription]) -> View:
    """All that these pages listen to, in few statements."""
    view = View()
    kinds: dict[str, list[Subscription]] = {}
    for subscription in subscriptions:
        kinds.setdefault(subscription.topic.kind, []).append(subscription)
    ids = {s.topic.key for kind in WORKFLOW_TOPICS for s in kinds.get(kind, ())}
    ids.update(i for s in kinds.get("list", ()) for i in s.topic.ids)
    view.rows = dict.fromkeys(ids)
    for chunk in in_chunks(sorted(ids), IN_LIMIT):
        rows = Workflow.objects.filter(workflow_id__in=chunk).values(*ROW_FIELDS)
        view.rows.update((row["workflow_id"], _row(row)) for row in rows)
    if "tasks" in kinds:
        _read_tasks(view, kinds["tasks"])
    if "list" in kinds or "overview" in kinds:
        head = Workflow.objects.aggregate(newest=Max("id"), changed=Max("changed_at"))
        view.newest, view.changed = head["newest"], head["changed"]
    if "overview" in kinds:
        view.follower = queries.follower()
    for kind, model, fields in (
        ("bulk", BulkOperation, BULK_FIELDS),
        ("operation", Command, COMMAND_FIELDS),
    ):
        keys = {s.topic.key for s in kinds.get(kind, ())}
        view.asked |= dict.fromkeys(keys)
        if keys:
            found = model.objects.filter(pk__in=keys).values(*fields)
            view.asked |= {str(row["id"]): _plain(row) for row in found}
    return view


def _read_tasks(view: View, subscriptions: Iterable[Subscription]) -> None:
    """The tasks that have changed since the page that knows least of them."""
    since: dict[str, int] = {}
    for subscription in subscriptions:
        key = subscription.topic.key
        since[key] = min(since.get(key, subscription.rev), subscription.rev)
    for key, rev in since.items():
        row = view.rows.get(key)
        if row is None or row.seq <= rev:
            continue
        changed = Task.objects.filter(workflow__workflow_id=key, changed_seq__gt=rev)
        rows = changed.order_by("changed_seq", "id").values(*TASK_FIELDS)
        view.tasks[key] = [_plain(each) for each in rows[: MAX_TASK_ROWS + 1]]


def _row(row: Data) -> Row:
    public = _plain(row)
    error = public.pop("error")
    full = public
    if error:
        head = f"{error.get('type', 'Error')}: {error.get('message', '')}"
        full = {**public, "error_head": head[:ERROR_HEAD]}
    return Row(row["event_seq"], full, public)


def _plain(row: Data) -> Data:
    return {
        key: value.isoformat() if isinstance(value, datetime) else value
        for key, value in row.items()
    }


# --- telling one page -------------------------------------------------------------------------


def _tell_workflow(subscription: Subscription, view: View) -> News | None:
    row = view.rows.get(subscription.topic.key)
    if row is None:
        # A launch is watched before the workflow shows; a deleted one is told once.
        return _tell_absent(subscription)
    shown = row.shown(payload=subscription.payload)
    if shown == subscription.seen:
        return None
    # A change without an event, such as a pending command, has no number and is always heeded.
    is_event = subscription.is_new or row.seq > subscription.rev
    kind = "snap" if subscription.is_new else "patch"
    subscription.seen, subscription.rev = shown, row.seq
    return News(kind, row.seq if is_event else 0, shown)


def _tell_absent(subscription: Subscription) -> News | None:
    was_there = subscription.seen is not None
    subscription.seen, subscription.rev = None, 0
    if was_there:
        return News("reset", 0, extra={"reason": "gone"})
    return News("snap", 0) if subscription.is_new else None


def _tell_tasks(subscription: Subscription, view: View) -> News | None:
    row = view.rows.get(subscription.topic.key)
    if row is None or (subscription.rev >= row.seq and not subscription.is_new):
        return News("snap", 0) if row is None and subscription.is_new else None
    changed = view.tasks.get(subscription.topic.key, [])
    is_cut = len(changed) > MAX_TASK_ROWS
    mine = [task for task in changed if task["changed_seq"] > subscription.rev]
    kind = "snap" if subscription.is_new else "patch"
    subscription.rev = row.seq
    if is_cut:
        return News(kind, row.seq, {"tasks": [], "truncated": True})
    return News(kind, row.seq, {"tasks": mine})


def _tell_list(subscription: Subscription, view: View) -> News | None:
    found = ((key, view.rows.get(key)) for key in subscription.topic.ids)
    shown = {key: r.shown(payload=subscription.payload) for key, r in found if r is not None}
    # Without rows to watch, any change of any workflow is news.
    head = view.newest if subscription.topic.ids else (view.newest, view.changed)
    seen: tuple[Any, dict[str, Data]] = subscription.seen or (None, {})
    if not subscription.is_new and seen == (head, shown):
        return None
    changed = [row for key, row in shown.items() if seen[1].get(key) != row]
    gone = sorted(seen[1].keys() - shown.keys())
    has_new = seen[0] is not None and head != seen[0]
    subscription.seen = (head, shown)
    return _numbered(subscription, {"rows": changed, "gone": gone, "has_new": has_new})


def _tell_overview(subscription: Subscription, view: View) -> News | None:
    freshness = view.follower or {}
    seen = (view.newest, view.changed, freshness.get("alive"), freshness.get("engine_reachable"))
    if seen == subscription.seen and not subscription.is_new:
        return None
    subscription.seen = seen
    return _numbered(subscription, {"follower": freshness})


def _tell_asked(subscription: Subscription, view: View) -> News | None:
    found = view.asked.get(subscription.topic.key)
    if found is None:
        return _tell_absent(subscription)
    if found == subscription.seen:
        return None
    subscription.seen = found
    return _numbered(subscription, found)


def _numbered(subscription: Subscription, data: Data) -> News:
    kind = "snap" if subscription.is_new else "patch"
    subscription.rev = max(subscription.rev + 1, int(time.time() * 1000))
    return News(kind, subscription.rev, data)


_TELLERS: dict[str, Callable[[Subscription, View], News | None]] = {
    "workflow": _tell_workflow,
    "tasks": _tell_tasks,
    "list": _tell_list,
    "overview": _tell_overview,
    "bulk": _tell_asked,
    "operation": _tell_asked,
}


# --- what has not been sent yet -----------------------------------------------------------------


def merged(topic: Topic, older: News, newer: News) -> News:
    """One frame in the place of two that a slow page has not taken yet."""
    if "reset" in (older.type, newer.type) or not (older.data and newer.data):
        return newer
    data = newer.data
    if topic.kind == "tasks":
        tasks = {task["task_id"]: task for n in (older, newer) for task in (n.data or {})["tasks"]}
        is_cut = any((n.data or {}).get("truncated") for n in (older, newer))
        is_cut = is_cut or len(tasks) > MAX_TASK_ROWS
        data = {"tasks": [], "truncated": True} if is_cut else {"tasks": list(tasks.values())}
    elif topic.kind == "list":
        rows = {row["workflow_id"]: row for n in (older, newer) for row in (n.data or {})["rows"]}
        gone = {*older.data["gone"], *newer.data["gone"]} - {
            r["workflow_id"] for r in newer.data["rows"]
        }
        has_new = older.data["has_new"] or newer.data["has_new"]
        data = {"rows": list(rows.values()), "gone": sorted(gone), "has_new": has_new}
    kind = "snap" if older.type == "snap" else newer.type
    return News(kind, max(older.rev, newer.rev), data, newer.extra)


def _is_uuid(text: str) -> bool:
    hexadecimal = text.replace("-", "")
    return len(hexadecimal) == 32 and all(c in "0123456789abcdef" for c in hexadecimal)
