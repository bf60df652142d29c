"""What an account changes of its own: its preferences and its password."""

from __future__ import annotations

from collections.abc import Mapping

from django.contrib.auth.forms import PasswordChangeForm
from django.contrib.auth.models import User

from workflows_app.models import Preferences
from workflows_app.services import audit


def keep_preferences(user: User, values: Mapping[str, str]) -> None:
    """Keep ``values`` with the account, beside those it has; empty ones are taken back."""
    kept, _ = Preferences.objects.get_or_create(user=user)
    kept.values = {name: value for name, value in {**kept.values, **values}.items() if value}
    kept.save(update_fields=["values"])


def change_password(user: User, form: PasswordChangeForm) -> None:
    """Set the new password that a valid form holds."""
    form.save()
    audit.record(user, "change password", target=user.get_username())
