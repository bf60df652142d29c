"""The Django admin: a read-only window on the registry, and bulk actions on any selection."""

from __future__ import annotations

from workflows_app.admin import accounts, commands, failures, registry, workflows

__all__ = ["accounts", "commands", "failures", "registry", "workflows"]
