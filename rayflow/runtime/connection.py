"""One process's way to the engines of a storage root."""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property
from typing import Any

import ray

from rayflow.errors import EngineUnavailableError, WorkflowError
from rayflow.runtime import engine_logs, environment
from rayflow.runtime.code import CodeStore
from rayflow.runtime.direct import Direct, UnreachedError
from rayflow.runtime.far_store import FarStore, is_far
from rayflow.runtime.listener import Listener
from rayflow.runtime.peers import engine_name
from rayflow.storage.partition import engine_of
from rayflow.storage.root import open_store


class Reach:
    """The way to one engine, whose handle is ``actor``."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor
        self._direct = None if is_far() else Direct(lambda: unwrapped(actor.line.remote()))

    def call(self, method: str, *args: Any) -> Any:
        """Call the engine and wait.

        Raises:
            EngineUnavailableError: the engine does not answer; else what the method raises.
        """
        if request_id := engine_logs.request.get():
            method, args = "on_request", (request_id, method, *args)
        if self._direct is not None:
            with suppress(UnreachedError):
                return self._direct.call(method, *args)
        return unwrapped(getattr(self.actor, method).remote(*args))

    def value(self, workflow_id: str) -> Any:
        """Wait for the value of a workflow that this process has started just now.

        Raises:
            WorkflowExecutionError, WorkflowCancellationError: it ended so. They are also ``RayTaskError``s.
            EngineUnavailableError: the engine does not answer.
        """
        # A task of Ray gives its CPU to others while it waits, as long as it waits in Ray.
        if self._direct is not None and ray.get_runtime_context().worker.mode == ray.SCRIPT_MODE:
            with suppress(Exception):  # what Ray would say of it, it shall say
                found = self._direct.call("handed", workflow_id)
                if found is not None:
                    return found[0]
        return answered(self.output(workflow_id))

    def output(self, workflow_id: str) -> Any:
        """An ``ObjectRef`` to the value of a workflow that was started just now, or has ended well."""
        return self.actor.output.remote(workflow_id, has_started=True)

    def close(self) -> None:
        """Hang up; the engine goes on."""
        if self._direct is not None:
            self._direct.close()


class Connection:
    """One process's handles to the engines of one root, by their numbers."""

    def __init__(self, storage: str, actors: list[Any]) -> None:
        self.storage = storage
        self.store = FarStore(storage) if is_far() else open_store(storage)
        self.code = CodeStore(self.store)
        self.listener = Listener(actors)
        self.name = engine_name(storage)
        self._reaches = [Reach(actor) for actor in actors]

    @property
    def engines(self) -> int:
        """How many engines share the root."""
        return len(self._reaches)

    @cached_property
    def environment(self) -> dict[str, Any] | None:
        """The ``runtime_env`` of this process with its packages kept in the storage, if it has one."""
        own = environment.of_process()
        return environment.keep(self.store, own) if own else None

    def at(self, workflow_id: str) -> Reach:
        """The engine that a workflow belongs to."""
        return self._reaches[engine_of(workflow_id, len(self._reaches))]

    def call(self, method: str, *args: Any) -> Any:
        """Call the first engine, which answers for all, and wait. Raises as :meth:`Reach.call`."""
        return self._reaches[0].call(method, *args)

    def close(self) -> None:
        """Hang up; the engines go on."""
        for reach in self._reaches:
            reach.close()


def unwrapped(ref: Any) -> Any:
    """The value of an engine call; errors arrive as themselves, not wrapped by Ray.

    Raises:
        EngineUnavailableError: the engine or Ray is gone.
    """
    try:
        return answered(ref)
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        raise (cause if isinstance(cause, Exception) else error) from None


def answered(ref: Any) -> Any:
    """The value of an engine call, or its error as Ray delivers it.

    Raises:
        EngineUnavailableError: the engine or Ray is gone.
    """
    try:
        return ray.get(ref)
    except ray.exceptions.RaySystemError as error:
        # A value that cannot be read raises while Ray unpickles it here; say what it said.
        cause = getattr(error, "client_exc", None)
        raise (cause if isinstance(cause, WorkflowError) else error) from None
    except (ray.exceptions.RayActorError, ConnectionError) as error:
        raise EngineUnavailableError(
            f"The engine did not answer: {error}. Look at the Ray cluster, then try again."
        ) from error
