"""What programs import from ``ray.workflow.event_listener``."""

from __future__ import annotations

from rayflow.events import EventListener, TimerListener

__all__ = ["EventListener", "TimerListener"]
