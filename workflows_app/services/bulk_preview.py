"""What a bulk operation would do, before it is asked for, and the token that confirms exactly that.

The token carries the selection and the moment of the preview, signed, so nothing is stored until somebody
confirms, and relative times in the query mean the same then.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.core import signing
from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from workflows_app import access, queries, rules
from workflows_app.models import BulkOperation, Workflow
from workflows_app.problems import Conflict, Invalid
from workflows_app.services import bulk_progress
from workflows_app.services.bulk import EVEN, Pace, request_bulk

SALT = "rayflow.bulk.preview"
VALID_FOR = timedelta(minutes=15)
SAMPLE = 20
MOST_DEFINITIONS = 20
MOST_IDS = 10_000
# Above this many workflows, and for every delete, a reason has to be given.
REASON_ABOVE = 100
# What may come or go between preview and confirmation.
TOLERANCE = 10
MOST_OPEN, MOST_ITEMS = 3, 100_000


@dataclass(frozen=True, slots=True)
class Selection:
    """A verb, and the workflows that are meant: by ids, by a query, or all."""

    kind: str
    ids: tuple[str, ...] = ()
    q: str = ""
    everything: bool = False
    include_failed: bool = True

    def workflows(self, user: User, now: datetime) -> QuerySet[Workflow]:
        """Those that ``user`` may see, as of ``now`` for relative times.

        Raises:
            BadQuery: the query cannot be read or answered.
            Invalid: none of ids, query and all, or several.
        """
        if (bool(self.ids) + bool(self.q.strip()) + self.everything) != 1:
            raise Invalid(
                "A selection is one of: ids, a query that is not empty, or all.",
                errors=[{"pointer": "/selection", "detail": "give ids, q or all"}],
            )
        visible = access.workflows_for(user)
        if self.ids:
            return visible.filter(workflow_id__in=self.ids)
        may_see = access.can(user, "view_payload")
        return queries.search(visible, q=self.q, may_see_payload=may_see, now=now)


def plan(
    workflows: QuerySet[Workflow], kind: str, *, include_failed: bool
) -> tuple[list[dict[str, Any]], int, int]:
    """Per status: ``total``, ``taken``, ``skipped`` and ``why``; and how many in all, and taken."""
    busy = Q(pending_command__isnull=False)
    counted = workflows.order_by().values("status")
    rows = counted.annotate(
        total=Count("id", distinct=True), busy=Count("id", filter=busy, distinct=True)
    ).order_by("status")
    groups = []
    for row in rows:
        why = rules.refusal(
            kind, status=row["status"], pending_command=None, include_failed=include_failed
        )
        taken = 0 if why else row["total"] - row["busy"]
        groups.append({**row, "taken": taken, "skipped": row["total"] - taken, "why": why})
    return groups, sum(g["total"] for g in groups), sum(g["taken"] for g in groups)


def preview(user: User, selection: Selection) -> dict[str, Any]:
    """What the operation would do, and ``confirm_token`` for :func:`confirm`.

    Raises:
        Forbidden: the account lacks a permission.
        Invalid, BadQuery: the selection.
    """
    _require(user, selection)
    now = timezone.now()
    workflows = selection.workflows(user, now)
    groups, total, taken = plan(workflows, selection.kind, include_failed=selection.include_failed)
    by_definition = workflows.order_by().values_list("definition").annotate(n=Count("id"))
    asked = {"selection": asdict(selection), "user": user.pk, "at": now.isoformat(), "total": total}
    return {
        "action": selection.kind,
        "matched": total,
        "eligible": taken,
        "ineligible": _reasons(groups),
        "by_status": {group["status"]: group["total"] for group in groups},
        "by_definition": {
            name or "": n
            for name, n in by_definition.order_by("-n", "definition")[:MOST_DEFINITIONS]
        },
        "sample": list(workflows.values_list("workflow_id", flat=True)[:SAMPLE]),
        "needs_reason": needs_reason(selection.kind, total),
        "expires_at": now + VALID_FOR,
        "confirm_token": signing.dumps(asked, salt=SALT, compress=True),
    }


def confirm(user: User, token: str, *, reason: str = "", pace: Pace = EVEN) -> BulkOperation:
    """Start what was previewed. The same token starts it once: again, it gives the same operation.

    Raises:
        Invalid: a token that is damaged, expired or somebody else's; no reason where one is needed.
        Conflict: meanwhile the selection has changed, or too much is under way already.
        Forbidden: the account lacks a permission.
    """
    digest = hashlib.sha256(token.encode()).hexdigest()
    earlier = BulkOperation.objects.filter(token=digest, created_by=user).first()
    if earlier is not None:
        earlier.replayed = True
        return earlier
    asked = _opened(token, user)
    selection = Selection(**{**asked["selection"], "ids": tuple(asked["selection"]["ids"])})
    _require(user, selection)
    workflows = selection.workflows(user, datetime.fromisoformat(asked["at"]))
    total = workflows.count()
    if abs(total - asked["total"]) > max(TOLERANCE, asked["total"] // 100):
        raise Conflict(
            f"{asked['total']} workflows were previewed, and {total} match now; look at a new preview.",
            code="preview_stale",
            extra={"preview": {"matched": total}},
        )
    if needs_reason(selection.kind, total) and not reason.strip():
        raise Invalid(
            "Give a reason; it is kept in the audit log.",
            errors=[{"pointer": "/reason", "detail": "a reason is needed"}],
        )
    _check_limits(user, total)
    return request_bulk(
        user,
        selection.kind,
        queryset=workflows,
        reason=reason,
        include_failed=selection.include_failed,
        query=selection.q,
        token=digest,
        pace=pace,
    )


def needs_reason(kind: str, total: int) -> bool:
    """Whether a reason must be given."""
    return kind == "delete" or total > REASON_ABOVE


def _require(user: User, selection: Selection) -> None:
    if selection.kind not in rules.ALLOWED:
        raise Invalid(
            f"{selection.kind!r} is not one of: {', '.join(rules.ALLOWED)}.",
            errors=[{"pointer": "/action", "detail": f"use {', '.join(rules.ALLOWED)}"}],
        )
    if len(selection.ids) > MOST_IDS:
        raise Invalid(f"At most {MOST_IDS} ids can be given; use a query.")
    access.require(user, "bulk")
    access.require(user, access.PERMISSION_OF_KIND[selection.kind])
    if selection.everything:
        access.require(user, "bulk_all")


def _opened(token: str, user: User) -> Mapping[str, Any]:
    pointer = [{"pointer": "/confirm_token", "detail": "ask for a new preview"}]
    try:
        asked: Mapping[str, Any] = signing.loads(token, salt=SALT, max_age=VALID_FOR)
    except signing.SignatureExpired as error:
        raise Invalid(
            "The preview is older than 15 minutes; ask for a new one.", errors=pointer
        ) from error
    except Exception as error:  # a forged text fails in base64, zlib, JSON or the signature alike
        raise Invalid(
            "The confirm_token is damaged; ask for a new preview.", errors=pointer
        ) from error
    if asked["user"] != user.pk:
        raise Invalid("The preview is another account's; ask for one of your own.", errors=pointer)
    return asked


def _check_limits(user: User, total: int) -> None:
    if access.can(user, "bulk_unlimited"):
        return
    if total > MOST_ITEMS:
        raise Conflict(
            f"{total} workflows are more than the {MOST_ITEMS} of one operation; narrow the query, or ask"
            " for the permission 'bulk_unlimited'.",
            code="too_many",
        )
    under_way = BulkOperation.objects.filter(created_by=user, state__in=bulk_progress.UNDER_WAY)
    if under_way.count() >= MOST_OPEN:
        raise Conflict(
            f"{MOST_OPEN} bulk operations of this account are under way; wait for one of them.",
            code="too_many",
        )


def _reasons(groups: list[dict[str, Any]]) -> dict[str, int]:
    """Why workflows are left out, and how many for each reason."""
    found: dict[str, int] = {}
    for group in groups:
        if group["why"]:
            found[group["why"]] = found.get(group["why"], 0) + group["total"]
        elif group["busy"]:
            reason = "a command of it is under way"
            found[reason] = found.get(reason, 0) + group["busy"]
    return found
