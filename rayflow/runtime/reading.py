"""Methods of virtual actors that only read: they run where they are called, on the last committed state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ray

from rayflow.errors import KeyNotFoundError, VirtualActorNotInitializedError
from rayflow.runtime import code, methods, nodes
from rayflow.runtime.actor_calls import ActorView
from rayflow.runtime.references import ValueReader
from rayflow.storage.root import open_store
from rayflow.storage.store import Store


@dataclass(frozen=True, slots=True)
class Reading:
    """A call of a reader; ``catches``: its value becomes ``(value, None)`` or ``(None, exception)``."""

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    catches: bool


def class_of(store: Store, view: ActorView) -> type:
    """The class of an actor."""
    found: type = code.load(store, view.code)
    return found


def read(store: Store, actor_id: str, view: ActorView, reading: Reading) -> Any:
    """Call a reader on an instance of its own; what it changes is gone with that.

    Raises:
        VirtualActorNotInitializedError: the actor has no state yet.
        TypeError: it returned a workflow.
    """
    if view.state is None:
        raise VirtualActorNotInitializedError(actor_id)
    cls = class_of(store, view)
    instance: Any = object.__new__(cls)
    methods.rebuild(instance, ValueReader(store).read(view.state))
    try:
        value = getattr(instance, reading.name)(*reading.args, **reading.kwargs)
    except Exception as error:
        if not reading.catches:
            raise
        return None, error
    if nodes.is_node(value):
        raise TypeError(
            f"Method {reading.name} of virtual actor '{actor_id}' only reads, so it cannot return a workflow."
        )
    return (value, None) if reading.catches else value


def read_async(
    storage: str, engine: Any, actor_id: str, reading: Reading, options: dict[str, Any]
) -> Any:
    """Call a reader in a Ray task with these ``options``; returns an ``ObjectRef``."""
    remote: Any = ray.remote(_read)
    return remote.options(**options).remote(storage, engine, actor_id, reading)


def read_last(store: Store, actor_id: str, reading: Reading, look: Callable[[], ActorView]) -> Any:
    """Like :func:`read`, on the state that ``look`` finds; again if it is overtaken while it is read."""
    while True:
        view = look()
        try:
            return read(store, actor_id, view, reading)
        except KeyNotFoundError:
            if look().version == view.version:
                raise


def _read(storage: str, engine: Any, actor_id: str, reading: Reading) -> Any:
    return read_last(
        open_store(storage), actor_id, reading, lambda: ray.get(engine.actor_view.remote(actor_id))
    )
