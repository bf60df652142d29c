"""What programs import from ``ray.workflow.http_event_provider``. There is no provider to deploy any more."""

from __future__ import annotations

from rayflow.errors import WorkflowError
from rayflow.events import HTTPListener

WorkflowEventHandleError = WorkflowError

__all__ = ["HTTPListener", "WorkflowEventHandleError"]
