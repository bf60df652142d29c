"""Tables of programs' tokens and of the audit log."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone


class ApiToken(models.Model):
    """A program's key to the API. Only its digest is stored."""

    class Scope(models.TextChoices):
        """The most a token may do, within its owner's permissions."""

        READ = "read", "Read"
        WRITE = "write", "Read and act"
        ADMIN = "admin", "Everything the owner may do"

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens"
    )
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=16)
    digest = models.CharField(max_length=64, unique=True)
    scope = models.CharField(max_length=8, choices=Scope.choices, default=Scope.READ)
    # Networks that it may be used from, like "10.0.0.0/8"; none: from anywhere.
    networks = models.JSONField(default=list, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"


class AuditEntry(models.Model):
    """Who asked for what, when. Never changed and never deleted."""

    time = models.DateTimeField(default=timezone.now)
    actor = models.TextField()
    verb = models.CharField(max_length=40)
    target = models.TextField(default="")
    detail = models.JSONField(default=dict)
    request_id = models.CharField(max_length=64, default="", blank=True)

    class Meta:
        ordering = ["-time", "-id"]
        verbose_name_plural = "audit entries"
        default_permissions = ("view",)
        indexes = [
            models.Index(fields=["time", "id"], name="audit_time"),
            models.Index(fields=["target", "time", "id"], name="audit_target"),
        ]

    def __str__(self) -> str:
        return f"{self.actor} {self.verb} {self.target}"
