"""Parameters of definitions, kept under names for the launch form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Q, QuerySet

from workflows_app import access
from workflows_app.models import LaunchPreset
from workflows_app.problems import Forbidden, Invalid, NotFound
from workflows_app.services import audit

MOST_PRESETS = 200


def presets_for(user: User, definition: str) -> QuerySet[LaunchPreset]:
    """The account's own presets of a definition and those that others share."""
    rows = LaunchPreset.objects.select_related("owner").filter(definition=definition)
    return rows.filter(Q(owner=user) | Q(shared=True))


def find_preset(user: User, preset_id: int) -> LaunchPreset:
    """A preset that the account may use.

    Raises:
        NotFound: there is none.
    """
    rows = LaunchPreset.objects.filter(Q(owner=user) | Q(shared=True), pk=preset_id)
    found = rows.first()
    if found is None:
        raise NotFound(f"There is no preset {preset_id}, or it is not shared.")
    return found


def save_preset(
    user: User, definition: str, name: str, params: Mapping[str, Any], *, shared: bool = False
) -> LaunchPreset:
    """Keep parameters under a name; one's own preset of that name is replaced.

    Raises:
        Forbidden: the account may not launch workflows.
        Invalid: no name, or too many presets.
    """
    access.require(user, "start_workflow")
    name = name.strip()
    if not 1 <= len(name) <= 100:
        raise Invalid("A preset needs a name of 1 to 100 characters.")
    own = LaunchPreset.objects.filter(owner=user)
    if own.exclude(definition=definition, name=name).count() >= MOST_PRESETS:
        raise Invalid(f"An account keeps at most {MOST_PRESETS} presets; delete one first.")
    made, _ = LaunchPreset.objects.update_or_create(
        owner=user,
        definition=definition,
        name=name,
        defaults={"params": dict(params), "shared": shared},
    )
    return made


def delete_preset(user: User, preset_id: int) -> LaunchPreset:
    """Forget a preset of the account's own; a superuser may forget any.

    Raises:
        NotFound: there is none.
        Forbidden: it belongs to somebody else.
    """
    preset = find_preset(user, preset_id)
    if preset.owner_id != user.pk and not user.is_superuser:
        raise Forbidden(f"The preset {preset.name!r} belongs to somebody else.")
    LaunchPreset.objects.filter(pk=preset.pk).delete()
    if preset.shared:
        audit.record(user, "delete preset", target=f"{preset.definition}: {preset.name}")
    return preset
