"""Accounts and their roles."""

from __future__ import annotations

from django.contrib.auth.models import Group, User
from django.contrib.auth.password_validation import validate_password
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from workflows_app import access
from workflows_app.problems import Conflict, Forbidden, Invalid, NotFound
from workflows_app.services import audit

# From the least to the most that a role may do.
ROLES = ("viewer", "operator", "admin")


def members() -> QuerySet[User]:
    """All accounts, by name."""
    return User.objects.prefetch_related("groups").order_by("username")


def role_of(user: User) -> str:
    """The strongest role of an account; empty if it has none."""
    held = {group.name for group in user.groups.all()}
    return next((role for role in reversed(ROLES) if role in held), "")


def add_member(by: User, username: str, password: str, role: str) -> User:
    """Make an account.

    Raises:
        Conflict: the name is taken.
        Forbidden: ``by`` may not manage members.
        Invalid: no name, no role, or a password that the rules refuse.
    """
    access.require(by, "manage_members")
    group = _group(role)
    made = User(username=username.strip())
    try:
        UnicodeUsernameValidator()(made.username)
        validate_password(password, made)
    except ValidationError as mistake:
        raise Invalid(" ".join(mistake.messages)) from mistake
    if not 1 <= len(made.username) <= 150:
        raise Invalid("A username has 1 to 150 characters.")
    made.set_password(password)
    try:
        with transaction.atomic():
            made.save()
            made.groups.add(group)
            audit.record(by, "add member", target=made.username, role=role)
    except IntegrityError as error:
        raise Conflict(f"There is an account {made.username!r} already.") from error
    return made


def change_role(by: User, member_id: int, role: str) -> User:
    """Give an account another role instead of the one it has.

    Raises:
        Forbidden: ``by`` may not manage members, or it is the own account or a superuser's.
        NotFound: there is no such account.
        Invalid: there is no such role.
    """
    group = _group(role)
    with transaction.atomic():
        member = _changeable(by, member_id)
        member.groups.remove(*Group.objects.filter(name__in=ROLES))
        member.groups.add(group)
        audit.record(by, "change role", target=member.username, role=role)
    return member


def set_active(by: User, member_id: int, active: bool) -> User:
    """Let an account sign in or keep it from doing so; its tokens and sockets end with it.

    Raises:
        Forbidden, NotFound: as :func:`change_role`.
    """
    with transaction.atomic():
        member = _changeable(by, member_id)
        User.objects.filter(pk=member.pk).update(is_active=active)
        verb = "switch on" if active else "switch off"
        audit.record(by, f"{verb} member", target=member.username)
    return member


def _changeable(by: User, member_id: int) -> User:
    access.require(by, "manage_members")
    member = User.objects.select_for_update().filter(pk=member_id).first()
    if member is None:
        raise NotFound(
            f"There is no account {member_id}; the list of members shows those there are."
        )
    if member.pk == by.pk:
        raise Forbidden("Nobody changes their own role or account; ask another administrator.")
    if member.is_superuser:
        raise Forbidden(f"{member.username!r} is a superuser; change it in the Django admin.")
    return member


def _group(role: str) -> Group:
    if role not in ROLES:
        raise Invalid(f"There is no role {role!r}; take one of {', '.join(ROLES)}.")
    return Group.objects.get(name=role)
