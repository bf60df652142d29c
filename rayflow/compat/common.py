"""What programs import from ``ray.workflow.common``."""

from __future__ import annotations

from rayflow.core.records import WorkflowStatus

__all__ = ["WorkflowStatus"]
