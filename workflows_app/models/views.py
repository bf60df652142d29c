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


class Preferences(models.Model):
    """How an account wants the console to look: see :mod:`workflows_app.preferences`."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="preferences"
    )
    values = models.JSONField(default=dict)

    class Meta:
        default_permissions = ()
        verbose_name_plural = "preferences"

    def __str__(self) -> str:
        return f"preferences of {self.user}"


class LaunchPreset(models.Model):
    """Parameters of a definition under a name, for its owner or for everybody."""

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="launch_presets"
    )
    definition = models.TextField()
    name = models.CharField(max_length=100)
    params = models.JSONField(default=dict)
    shared = models.BooleanField(default=False)

    class Meta:
        ordering = ["name", "id"]
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["owner", "definition", "name"], name="preset_once_per_owner"
            )
        ]

    def __str__(self) -> str:
        return self.name
