"""Keeping searches of the list of workflows under names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import F, Q, QuerySet

from workflows_app import access
from workflows_app.models import SavedView
from workflows_app.problems import Conflict, Forbidden, Invalid, NotFound, Stale
from workflows_app.search import Search
from workflows_app.services import audit

T = TypeVar("T")

MOST_VIEWS = 200


def views_for(user: User) -> QuerySet[SavedView]:
    """The account's own views and those that others share."""
    access.require(user, "view_workflow")
    return SavedView.objects.select_related("owner").filter(Q(owner=user) | Q(shared=True))


def save_view(user: User, fields: Mapping[str, Any]) -> SavedView:
    """Keep a search.

    Raises:
        BadQuery: its query cannot be read or answered.
        Conflict: the account has a view of this name.
        Invalid: it has too many.
    """
    access.require(user, "view_workflow")
    _check(user, fields)
    if SavedView.objects.filter(owner=user).count() >= MOST_VIEWS:
        raise Invalid(f"An account keeps at most {MOST_VIEWS} views; delete one first.")
    return _stored(lambda: SavedView.objects.create(owner=user, **fields), fields)


def change_view(
    user: User, view: SavedView, fields: Mapping[str, Any], *, revision: int | None = None
) -> SavedView:
    """Change a view of the account's own.

    Raises:
        BadQuery, Conflict: as :func:`save_view`.
        Forbidden: it belongs to somebody else.
        Stale: it has been changed since ``revision``.
    """
    _own(user, view)
    _check(user, fields)
    rows = SavedView.objects.filter(pk=view.pk)
    if revision is not None:
        rows = rows.filter(revision=revision)
    changed = _stored(lambda: rows.update(**fields, revision=F("revision") + 1), fields)
    if not changed:
        raise Stale(f"The view {view.name!r} has been changed or deleted meanwhile; read it again.")
    return SavedView.objects.select_related("owner").get(pk=view.pk)


def delete_view(user: User, view: SavedView) -> None:
    """Forget a view of the account's own; one who manages accounts may forget any.

    Raises:
        Forbidden: it belongs to somebody else.
    """
    if view.owner_id != user.pk and not user.is_superuser:
        _own(user, view)
    SavedView.objects.filter(pk=view.pk).delete()
    if view.shared:
        audit.record(user, "delete view", target=view.name)


def find_view(user: User, view_id: int) -> SavedView:
    """A view that the account may see.

    Raises:
        NotFound: there is none.
    """
    found = views_for(user).filter(pk=view_id).first()
    if found is None:
        raise NotFound(f"There is no view {view_id}, or it is not shared.")
    return found


def _own(user: User, view: SavedView) -> None:
    if view.owner_id != user.pk:
        raise Forbidden(
            f"The view {view.name!r} belongs to {view.owner.get_username()!r}; save a copy to change it."
        )


def _check(user: User, fields: Mapping[str, Any]) -> None:
    if query := fields.get("query", "").strip():
        Search(query, may_see_payload=access.can(user, "view_payload"))


def _stored(write: Callable[[], T], fields: Mapping[str, Any]) -> T:
    try:
        with transaction.atomic():
            return write()
    except IntegrityError as error:
        raise Conflict(
            f"You have a view named {fields.get('name')!r} already; choose another name or change that one.",
            code="view_exists",
        ) from error
