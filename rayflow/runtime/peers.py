"""The engines of a root among each other: their names, and how one calls another."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import suppress
from typing import Any

import ray

from rayflow.config import NAMESPACE
from rayflow.errors import EngineUnavailableError
from rayflow.runtime.registry import Registry
from rayflow.storage.address import name_of
from rayflow.storage.index import IndexEntry
from rayflow.storage.partition import engine_of

_MANY = 1_000_000  # waiting callers hold no thread, so nothing needs to bound them


def engine_name(address: str, number: int = 0) -> str:
    """The name of an engine's actor."""
    name = f"engine-{hashlib.sha256(name_of(address).encode()).hexdigest()[:16]}"
    return name if number == 0 else f"{name}.{number}"


def actor_options(address: str, number: int = 0) -> dict[str, Any]:
    """The options of an engine's actor."""
    return {
        "name": engine_name(address, number),
        "namespace": NAMESPACE,
        "lifetime": "detached",
        "get_if_exists": True,
        "num_cpus": 0,
        "max_restarts": -1,
        "max_task_retries": -1,
        "max_concurrency": _MANY,
    }


def find_engine(address: str, number: int = 0) -> Any:
    """The handle of an engine. Raises ValueError if there is none."""
    return ray.get_actor(engine_name(address, number), namespace=NAMESPACE)


class Peers:
    """All engines of a root, as one of them, ``engine``, sees them."""

    def __init__(self, engine: Any, storage: str, registry: Registry) -> None:
        self._engine, self._storage, self._registry = engine, storage, registry
        self._handles: dict[int, Any] = {}

    @property
    def others(self) -> list[int]:
        """The numbers of the other engines."""
        own = self._registry.part
        return [number for number in range(own.count) if number != own.number]

    def of(self, workflow_id: str) -> int:
        """The number of the engine that a workflow belongs to."""
        return engine_of(workflow_id, self._registry.part.count)

    async def known(self, workflow_id: str) -> IndexEntry | None:
        """What is known of a workflow; None if there is none."""
        number = self.of(workflow_id)
        if number == self._registry.part.number:
            return self._registry.entries.get(workflow_id)
        found: IndexEntry | None = await self.ask(number, "known", workflow_id)
        return found

    async def call(self, workflow_id: str, verb: str, *args: Any) -> Any:
        """Call the engine that a workflow belongs to, which may be this one."""
        return await self.ask(self.of(workflow_id), verb, *args)

    async def ask(self, number: int, verb: str, *args: Any) -> Any:
        """Call an engine.

        Raises:
            EngineUnavailableError: it does not run; else what the call raises.
        """
        if number == self._registry.part.number:
            return await getattr(self._engine, verb)(*args)
        with suppress(ray.exceptions.RayActorError):  # perhaps another one has its name by now
            return await self._asked(number, verb, *args)
        self._handles.pop(number, None)
        try:
            return await self._asked(number, verb, *args)
        except ray.exceptions.RayActorError as error:
            raise _gone(number) from error

    async def everywhere(self, verb: str, *args: Any) -> list[Any]:
        """Call all engines, this one too; the answers stand in the order of their numbers."""
        numbers = range(self._registry.part.count)
        return await asyncio.gather(*(self.ask(number, verb, *args) for number in numbers))

    async def _asked(self, number: int, verb: str, *args: Any) -> Any:
        if number not in self._handles:
            try:
                found = await asyncio.to_thread(find_engine, self._storage, number)
            except ValueError:
                raise _gone(number) from None
            self._handles[number] = found
        try:
            return await getattr(self._handles[number], verb).remote(*args)
        except ray.exceptions.RayTaskError as error:
            cause = error.cause
            raise (cause if isinstance(cause, Exception) else error) from None


def _gone(number: int) -> EngineUnavailableError:
    return EngineUnavailableError(
        f"Engine {number} of this root does not run. Connect anew with workflow.init, which starts it."
    )
