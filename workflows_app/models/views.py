"""Searches that people keep."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone


class SavedView(models.Model):
    """A query of the list of workflows under a name, for its owner or for everybody."""

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="saved_views"
    )
    name = models.CharField(max_length=100)
    query = models.TextField(default="", blank=True)
    sort = models.CharField(max_length=20, default="-created")
    columns = models.JSONField(default=list)
    shared = models.BooleanField(default=False)
    revision = models.IntegerField(default=1)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["name", "id"]
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(fields=["owner", "name"], name="view_once_per_owner")
        ]

    def __str__(self) -> str:
        return self.name
