"""Keeping the catalogue of definitions equal to what the definition modules declare."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone

from workflows_app.gateway import gateway
from workflows_app.models import Definition


@dataclass(frozen=True, slots=True)
class SyncResult:
    """What a load of the definitions changed."""

    available: int
    gone: int


def sync_definitions() -> SyncResult:
    """Load the definitions through the gateway and store them; flag those that are gone.

    Raises:
        EngineProblem: a source of definitions cannot be loaded; it is named in the detail.
    """
    found = gateway().definitions()
    now = timezone.now()
    rows = [
        Definition(
            name=each.name,
            description=each.description,
            module=each.module,
            params_schema=each.params_schema,
            tags=each.tags,
            available=True,
            updated_at=now,
        )
        for each in found
    ]
    with transaction.atomic():
        Definition.objects.bulk_create(
            rows,
            update_conflicts=True,
            unique_fields=["name"],
            update_fields=[
                "description", "module", "params_schema", "tags", "available", "updated_at",
            ],
        )  # fmt: skip
        gone = (
            Definition.objects.filter(available=True)
            .exclude(name__in=[each.name for each in found])
            .update(available=False, updated_at=now)
        )
    return SyncResult(available=len(rows), gone=gone)
