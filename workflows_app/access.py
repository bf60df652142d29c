"""Who may see and do what. Every object fetched by id on behalf of a person comes from here."""

from __future__ import annotations

import hashlib

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser, User
from django.db.models import Q, QuerySet
from django.utils import timezone

from workflows_app.models import ApiToken, Workflow
from workflows_app.problems import Forbidden, NotFound

Actor = AbstractBaseUser | AnonymousUser

# The permission each command needs.
PERMISSION_OF_KIND = {
    "launch": "start_workflow",
    "cancel": "cancel_workflow",
    "suspend": "cancel_workflow",
    "resume": "resume_workflow",
    "delete": "delete_workflow",
    "tell": "signal_workflow",
    "fork": "start_workflow",
    "plan": "view_workflow",
}


def can(user: Actor, perm: str) -> bool:
    """Whether `user` holds the permission named without its app label."""
    return isinstance(user, User) and user.is_active and user.has_perm(f"workflows_app.{perm}")


def require(user: Actor, perm: str) -> None:
    """Let `user` pass or raise.

    Raises:
        Forbidden: names the missing permission.
    """
    if not can(user, perm):
        raise Forbidden(
            f"This needs the permission {perm!r}, which the account"
            f" {user.get_username() or 'anonymous'!r} does not have; ask an administrator for it."
        )


def workflows_for(user: Actor) -> QuerySet[Workflow]:
    """The workflows `user` may see: all of them or none (roles are global in this version)."""
    return Workflow.objects.all() if can(user, "view_workflow") else Workflow.objects.none()


def workflow_for(user: Actor, workflow_id: str) -> Workflow:
    """The workflow with this id.

    Raises:
        NotFound: there is none, or `user` may not see it.
    """
    workflow = workflows_for(user).filter(workflow_id=workflow_id).first()
    if workflow is None:
        raise NotFound(
            f"There is no workflow {workflow_id!r}; it may have been deleted."
            " The list of workflows shows those that exist."
        )
    return workflow


def live_token(secret: str) -> ApiToken | None:
    """The token behind `secret` if it is not revoked, not expired and its owner is active."""
    digest = hashlib.sha256(secret.encode()).hexdigest()
    return (
        ApiToken.objects.select_related("user")
        .filter(digest=digest, revoked_at=None, user__is_active=True)
        .filter(Q(expires_at=None) | Q(expires_at__gt=timezone.now()))
        .first()
    )
