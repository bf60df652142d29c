"""Methods of virtual actors where they run: an instance is made of the stored state, and leaves a new one."""

from __future__ import annotations

from typing import Any

from rayflow.core.actors import CONSTRUCTOR, MIGRATION
from rayflow.core.graph import StoredValue
from rayflow.errors import SerializationError, VirtualActorNotInitializedError
from rayflow.runtime.references import ValueReader
from rayflow.storage.values import encode


class Method:
    """A method of a virtual actor, as a function of its arguments."""

    def __init__(
        self, cls: type, name: str, actor_id: str, state: StoredValue | None, reader: ValueReader
    ) -> None:
        self._instance: Any = None
        self._cls, self._name, self._actor_id = cls, name, actor_id
        self._state, self._reader = state, reader
        self.__module__, self.__qualname__ = cls.__module__, f"{cls.__qualname__}.{name}"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._state is None and self._name != CONSTRUCTOR:
            raise VirtualActorNotInitializedError(self._actor_id)
        instance: Any = object.__new__(self._cls)
        self._instance = instance
        if self._name == CONSTRUCTOR:
            instance.__init__(*args, **kwargs)
            value = None
        elif self._name == MIGRATION:
            rebuild(instance, _converted(self._stored(), *args))
            value = None
        else:
            rebuild(instance, self._stored())
            value = getattr(instance, self._name)(*args, **kwargs)
        return value

    def left(self) -> Any:
        """The state that it has left, when it has run. Raises as :func:`state_of` does."""
        return state_of(self._instance, self._actor_id)

    def _stored(self) -> Any:
        assert self._state is not None
        return self._reader.read(self._state)


def rebuild(instance: Any, state: Any) -> None:
    """Give a new instance a stored state. Its constructor does not run."""
    if has_own_state(type(instance)):
        instance.__setstate__(state)
    else:
        instance.__dict__.update(state)


def state_of(instance: Any, actor_id: str) -> Any:
    """What is stored of an instance.

    Raises:
        SerializationError: it has attributes that are neither JSON nor arrays or tables, and its class
            does not say how to store them.
    """
    if has_own_state(type(instance)):
        return instance.__getstate__()
    for name, value in instance.__dict__.items():
        if not (_is_json(value) or _is_table(value)):
            raise SerializationError(
                f"The state of actor '{actor_id}' cannot be stored: its attribute '{name}' of type "
                f"{type(value).__qualname__} is neither plain JSON nor an array or a table. Keep such things "
                "out of self, or give the class __getstate__ and __setstate__. The state is as it was."
            )
    return dict(instance.__dict__)


def has_own_state(cls: type) -> bool:
    """Whether a class says itself what its state is.

    Raises:
        ValueError: it has one of ``__getstate__`` and ``__setstate__`` without the other.
    """
    found = [
        name
        for name in ("__getstate__", "__setstate__")
        if any(name in vars(base) for base in cls.__mro__ if base is not object)
    ]
    if len(found) == 1:
        missing = "__setstate__" if found == ["__getstate__"] else "__getstate__"
        raise ValueError(
            f"{cls.__qualname__} has {found[0]} but no {missing}: a virtual actor has both or neither."
        )
    return bool(found)


def _converted(state: Any, convert: Any = None) -> Any:
    return state if convert is None else convert(state)


def _is_json(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(k, str) and _is_json(v) for k, v in value.items())
    if isinstance(value, list):
        return all(map(_is_json, value))
    return value is None or isinstance(value, bool | int | float | str)


def _is_table(value: Any) -> bool:
    try:
        return encode(value).format != "pickle"
    except SerializationError:
        return False
