"""The submitter: where attempts really run. One seam, one implementation on Ray."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Protocol

import ray
from ray import exceptions

from rayflow.core.outcomes import Outcome
from rayflow.runtime import placement, processes
from rayflow.runtime.bundle_worker import run_bundle
from rayflow.runtime.exchange import Address
from rayflow.runtime.lane_worker import run_calls
from rayflow.runtime.ray_options import restored
from rayflow.runtime.worker import TaskCall, run_task, store_value

# RayFlow counts attempts: Ray neither retries nor reconstructs. Two returns: the outcome is small and
# comes back inline; a large value stays in the object store for its consumers.
_OURS: dict[str, Any] = {"num_returns": 2, "max_retries": 0}


@dataclass(slots=True, eq=False)
class Handle:
    """An attempt under way: references to its outcome and to its (large) value.

    ``runtime_env`` is where the value can be read, if not everywhere.
    """

    outcome: Any
    value: Any
    runtime_env: Any = None


class Submitter(Protocol):
    """Runs attempts somewhere."""

    def submit(
        self, call: TaskCall, options: dict[str, Any], refs: list[tuple[int, Any]]
    ) -> Handle:
        """Start an attempt. Raises ValueError or TypeError if ``options`` make no sense."""

    def store(self, call: TaskCall, outcome: Outcome, handle: Handle) -> Handle:
        """Start storing the value that an attempt has left in memory; its outcome says where it is."""

    async def outcome(self, handle: Handle) -> Outcome:
        """What became of it. Never raises."""

    def stop(self, handle: Handle, *, force: bool) -> None:
        """Ask it to stop, or end its process; its outcome says what has become of it."""

    async def destroy(self, place: Any) -> None:
        """Make sure that a process that has announced an attempt is gone; return when it is."""


class Chains(Protocol):
    """Runs attempts behind others, in their workers. ``least``: how many make it worth it."""

    least: int

    def is_short(self, code: str) -> bool:
        """Whether attempts of this code are known to be short."""

    def follow(self, before: Handle, call: TaskCall) -> Handle | None:
        """Start an attempt behind another one, which has just been submitted, in its worker.

        It begins when the value of that one is durable, in a relay; if there is none, its outcome is ``returned``.
        Returns None if the other one has a worker of its own.
        """


class RaySubmitter:
    """Attempts as Ray tasks, owned by the process that submits them: the engine."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self._tasks: dict[tuple[Any, int], Any] = {}
        self._store: Any = ray.remote(num_cpus=0, max_retries=0)(store_value)

    def submit(
        self, call: TaskCall, options: dict[str, Any], refs: list[tuple[int, Any]]
    ) -> Handle:
        """Start an attempt. Raises ValueError or TypeError if ``options`` make no sense."""
        chosen = {"name": call.task_id, **placement.here(call.task_id, restored(options))}
        body = run_task if call.method is None else run_calls
        return self._started(body, chosen, call, self._engine, refs)

    def bundle(self, address: Address, number: int, name: str, options: dict[str, Any]) -> Handle:
        """Start a worker for attempts that are sent to it. Raises ValueError or TypeError as :meth:`submit`."""
        chosen = {"name": name, **restored(options)}
        return self._started(run_bundle, chosen, address, number, self._engine)

    def store(self, call: TaskCall, outcome: Outcome, handle: Handle) -> Handle:
        """Start storing the value that an attempt has left in memory; its outcome says where it is."""
        named = {"name": f"{call.task_id}: checkpoint", "runtime_env": handle.runtime_env}
        # No second value: the one that there is belongs to the attempt.
        return Handle(self._store.options(**named).remote(call, outcome, handle.value), None)

    def _started(self, body: Any, options: dict[str, Any], *args: Any) -> Handle:
        task = self._task(body, options.pop("max_calls", 0))
        outcome, value = task.options(**options | _OURS).remote(*args)
        return Handle(outcome, value, options.get("runtime_env"))

    def _task(self, body: Any, max_calls: int) -> Any:
        """The remote function; Ray takes ``max_calls`` for a function as a whole, not for a call."""
        key = (body, max_calls)
        if key not in self._tasks:
            self._tasks[key] = ray.remote(max_calls=max_calls, **_OURS)(body)
        return self._tasks[key]

    async def outcome(self, handle: Handle) -> Outcome:
        """What became of it. Never raises."""
        try:
            result: Outcome = await handle.outcome
        except exceptions.TaskCancelledError as error:
            # With a cause it was raised by a process that lives on, while no body was running in it.
            return Outcome("stopped", has_died=not isinstance(error, exceptions.RayTaskError))
        except Exception as error:
            # The value failed alike; Ray logs errors that nobody asked for, so ask.
            if handle.value is not None:
                await asyncio.gather(handle.value, return_exceptions=True)
            return Outcome("lost", error=_describe(error), has_died=True)
        return result

    def stop(self, handle: Handle, *, force: bool) -> None:
        """Ask it to stop, or end its process; its outcome says what has become of it."""
        ray.cancel(handle.outcome, force=force)

    async def destroy(self, place: Any) -> None:
        """Make sure that a process that has announced an attempt is gone; return when it is."""
        await processes.destroy(place)


def refused(error: Exception) -> Outcome:
    """What becomes of an attempt with options that make no sense to Ray."""
    message = f"Ray refused the options of the task: {error}"
    described = {"type": type(error).__name__, "traceback": None, "message": message}
    return Outcome("error", error=described, retryable=False)


def _describe(error: Exception) -> dict[str, Any]:
    advice = {
        "WorkerCrashedError": "The process of the task died before it could report a result.",
        "OutOfMemoryError": "The node ran out of memory and Ray killed the task.",
        "NodeDiedError": "The node of the task died.",
    }
    kind = type(error).__name__
    message = advice.get(kind, str(error) or kind)
    return {"type": f"ray.exceptions.{kind}", "message": message, "traceback": None}
