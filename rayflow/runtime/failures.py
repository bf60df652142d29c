"""Failures as programs of the first generation expect them: they are also Ray's ``RaySystemError``.

There the error came up while Ray unpickled the output, which made it one of Ray's own.
"""

from __future__ import annotations

from typing import Any

from ray.exceptions import RaySystemError

from rayflow.errors import VirtualActorCallError, WorkflowExecutionError


class StepsFailedError(WorkflowExecutionError, RaySystemError):
    """A workflow of steps failed. Source: ``ray-workflows`` 2.4."""


class CallFailedError(VirtualActorCallError, RaySystemError):
    """A call of a virtual actor failed. Source: ``ray-workflows`` 2.7."""


def failure(
    accepted: dict[str, Any], workflow_id: str, error: dict[str, Any] | None
) -> WorkflowExecutionError:
    """The error for whoever waits for a workflow that failed; ``accepted``: what was recorded of it."""
    is_old = accepted.get("steps") or accepted.get("actor")
    return (StepsFailedError if is_old else WorkflowExecutionError)(workflow_id, error)
