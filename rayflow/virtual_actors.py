"""Virtual actors: objects whose state is stored, and whose methods are called one after the other, durably."""

from __future__ import annotations

import hashlib
import inspect
import uuid
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import FunctionType
from typing import Any

from rayflow import api, context
from rayflow.core.actors import CONSTRUCTOR, MIGRATION, MOST_AT_ONCE
from rayflow.core.ids import task_name, validate_workflow_id
from rayflow.options import check_metadata
from rayflow.runtime import methods, nodes, reading
from rayflow.runtime.actor_calls import ActorView
from rayflow.runtime.connection import Connection, Reach, answered
from rayflow.runtime.nodes import MethodNode
from rayflow.steps import checked_options, divided

_READONLY = "__rayflow_readonly__"
_RETRIES = 3


class _Decorator:
    """``workflow.virtual_actor``."""

    def __call__(
        self, cls: Any = None, *, replay_failed: bool = False, max_batch: int = MOST_AT_ONCE
    ) -> Any:
        """Make a virtual actor of a class: ``@workflow.virtual_actor``.

        What is stored of an instance is what its ``__getstate__`` gives, if the class has it and
        ``__setstate__``, else its attributes, which are plain JSON, arrays or tables.

        Args:
            cls: the class. ``__init__`` is optional, and runs once in the life of an actor.
            replay_failed: a failed call stays at the head of the queue and runs again before the next
                one, as in the old library; without, it is over and the calls after it go on.
            max_batch: how many calls that wait may be run together. With 1 none begins before the one before
                it is durable.

        Raises:
            TypeError: ``cls`` is no class.
            ValueError: it has one of ``__getstate__`` and ``__setstate__`` without the other, or a number
                that makes no sense.

        Source: seed 001, "Virtual Actors"; ``ray-workflows`` 2.7.
        """
        if type(max_batch) is not int or max_batch < 1:
            raise ValueError(f"max_batch is a whole number from 1, not {max_batch!r}.")
        about = {"replays": bool(replay_failed), "batch": min(max_batch, MOST_AT_ONCE)}
        if cls is None:
            return lambda decorated: VirtualActorClass(decorated, about)
        return VirtualActorClass(cls, about)

    @staticmethod
    def readonly(method: Any) -> Any:
        """Mark a method that changes nothing: it runs beside all others, on the last committed state.

        Raises:
            TypeError: it is no function.

        Source: seed 001, "Virtual Actors".
        """
        if not isinstance(method, FunctionType):
            raise TypeError(f"virtual_actor.readonly marks a method, not {method!r:.100}.")
        setattr(method, _READONLY, True)
        return method


virtual_actor = _Decorator()


class VirtualActorClass:
    """A class that was made a virtual actor. Its actors are made with :meth:`get_or_create`."""

    def __init__(self, cls: Any, about: dict[str, Any]) -> None:
        if not isinstance(cls, type):
            raise TypeError(f"workflow.virtual_actor decorates a class, not {cls!r:.100}.")
        methods.has_own_state(cls)
        for name, function in _methods(cls).items():
            if isinstance(function, FunctionType) and not is_readonly(function):
                setattr(function, "step", _Own(name, function))  # noqa: B010 - functions have none
        self._cls, self._about = cls, about
        self.__doc__, self.__name__ = cls.__doc__, cls.__name__

    def get_or_create(self, actor_id: str, *args: Any, **kwargs: Any) -> VirtualActor:
        """The actor with this id, made if there is none; does not wait for its constructor.

        An actor that exists keeps the class and the state that are stored: the arguments are ignored.

        Raises:
            InvalidWorkflowIdError: a bad id.
            TypeError: the arguments do not fit the constructor.
            VirtualActorNotFoundError: a workflow that is no actor has this id.
            SerializationError, StorageError: class or arguments cannot be stored.

        Source: seed 001, "Virtual Actors"; ``ray-workflows`` 2.7.
        """
        checked = validate_workflow_id(actor_id)
        _check_call(self._cls, CONSTRUCTOR, args, kwargs)
        options = {"task_id": _name(self._cls, CONSTRUCTOR)}
        rays = {"max_retries": _RETRIES}
        node = nodes.method_call(CONSTRUCTOR, args, kwargs, options, **rays)
        about = {"name": f"{self._cls.__module__}.{self._cls.__qualname__}", **self._about}
        api.create_actor(checked, node, self._cls, about)
        return VirtualActor(checked, api.connection().name)

    def options(self, **options: Any) -> VirtualActorClass:
        """The class itself: it has no options. Source: ``ray-workflows`` 2.7."""
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(
            f"A virtual actor is not made by calling its class: {self.__name__}.get_or_create(actor_id, ...)."
        )


def get_actor(actor_id: str) -> VirtualActor:
    """The actor with this id, from any process.

    Raises:
        VirtualActorNotFoundError: there is none (a ``ValueError``).

    Source: seed 001, "Management API".
    """
    actor = VirtualActor(validate_workflow_id(actor_id), api.connection().name)
    actor._looked_at()
    return actor


def later(call: Any) -> None:
    """Have another method of this actor called later, as a call of its own.

    Its arguments may be things to wait for: ``workflow.later(self.flush.step(workflow.sleep(60)))`` wakes
    the actor by a timer, ``self.paid.step(workflow.wait_for_signal("paid"))`` by a signal. Meanwhile other
    calls have their turn. It is recorded with the method that asks for it, or not at all.

    Args:
        call: made with ``self.method.step(...)``.

    Raises:
        RuntimeError: not called inside a method of a virtual actor.
        TypeError: something else than a call of one's own.
    """
    lifeline = context.inside("later")
    if not isinstance(call, MethodNode):
        raise TypeError(
            f"workflow.later takes a call made with self.method.step(...), not {call!r:.100}."
        )
    lifeline.later(call)


class VirtualActor:
    """A handle to a virtual actor. Its methods are those of the class that is stored; it can be pickled."""

    def __init__(self, actor_id: str, engine: str | None = None) -> None:
        self._actor_id, self._engine = actor_id, engine
        self._view: ActorView | None = None

    @property
    def actor_id(self) -> str:
        """The id of the actor, which is that of its workflow."""
        return self._actor_id

    def ready(self) -> Any:
        """An ``ObjectRef`` that is there when the constructor has run, and fails if that did.

        Raises:
            VirtualActorNotFoundError: there is no such actor (a ``ValueError``).
        """
        self._looked_at()
        return self._reach().actor.actor_ready.remote(self._actor_id)

    def migrate(self, to: VirtualActorClass, convert: Callable[[Any], Any] | None = None) -> None:
        """Give the actor another class, and its state another form; a call like others, in its turn.

        Args:
            to: the new class. Calls that have their turn later are of its methods.
            convert: makes of the stored state one for the new class; default the same. The stored state is
                what ``__getstate__`` has given, or a dict of attributes.

        Raises:
            TypeError: ``to`` is no virtual actor's class.
            VirtualActorCallError: ``convert`` or ``__setstate__`` failed; the actor is as before.
        """
        if not isinstance(to, VirtualActorClass):
            raise TypeError(f"migrate takes a class with @workflow.virtual_actor, not {to!r:.100}.")
        options = {"task_id": _name(to._cls, MIGRATION)}
        call = nodes.method_call(MIGRATION, (convert,), {}, options, max_retries=_RETRIES)
        answered(
            api.call_actor(self._connection(), self._actor_id, call, _call_id(call), code=to._cls)
        )

    def _connection(self) -> Connection:
        """That of the engine which the handle came from, wherever it travelled."""
        return api.connection(self._engine)

    def _reach(self) -> Reach:
        return self._connection().at(self._actor_id)

    def _looked_at(self) -> ActorView:
        """The present view of the actor; a state that is known already does not travel again."""
        known = self._view
        found: ActorView = self._reach().call(
            "actor_view", self._actor_id, None if known is None else known.version
        )
        if known is None or known.version != found.version:
            self._view = known = found
        return known

    def _class(self) -> type:
        view = self._view or self._looked_at()
        return reading.class_of(self._connection().store, view)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        found = _methods(self._class()).get(name)
        if found is None:  # perhaps the actor has another class by now
            self._view = None
            found = _methods(self._class()).get(name)
        if found is None:
            raise AttributeError(
                f"Virtual actor '{self._actor_id}' of class {self._class().__qualname__} has no method "
                f"'{name}'."
            )
        return ActorMethod(self, name, {})

    def __reduce__(self) -> tuple[Any, ...]:
        return VirtualActor, (self._actor_id, self._engine)

    def __repr__(self) -> str:
        return f"<VirtualActor {self._actor_id}>"


class ActorMethod:
    """A method of a virtual actor, to be called with :meth:`run` or :meth:`run_async`."""

    def __init__(self, actor: VirtualActor, name: str, options: Mapping[str, Any]) -> None:
        self._actor, self._name, self._options = actor, name, dict(options)

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Call the method and return its value.

        Raises:
            TypeError: the arguments do not fit; a reader returned a workflow.
            VirtualActorNotInitializedError: a reader, before the constructor has run.
            VirtualActorCallError: a writer failed. What a reader raises is raised as it is.
            VirtualActorReentrancyError: the method would wait for one that waits for it.
            WorkflowEndedError: the actor was cancelled or suspended.
        """
        self._check(args, kwargs)
        if self._is_reader:
            store, call = self._actor._connection().store, self._call(args, kwargs)
            return reading.read_last(store, self._actor.actor_id, call, self._actor._looked_at)
        node = self._node(args, kwargs)
        connection = self._actor._connection()
        return answered(api.call_actor(connection, self._actor.actor_id, node, self._id_of(node)))

    def run_async(self, *args: Any, **kwargs: Any) -> Any:
        """Like :meth:`run`, but returns an ``ObjectRef``; the call is durable, and has its place, by then."""
        self._check(args, kwargs)
        connection = self._actor._connection()
        if self._is_reader:
            ours, rays = divided(self._options)
            rays = {"max_retries": ours.get("max_retries", _RETRIES), **rays}
            call = self._call(args, kwargs)
            return reading.read_async(
                connection.storage, self._actor._reach().actor, self._actor.actor_id, call, rays
            )
        node = self._node(args, kwargs)
        return api.call_actor_async(connection, self._actor.actor_id, node, self._id_of(node))

    def bind(self, *args: Any, **kwargs: Any) -> Any:
        """A DAG node whose task calls the method: once, however often the task is tried again.

        Raises:
            TypeError: the arguments do not fit.
        """
        self._check(args, kwargs)
        name = self._options.get("name") or _name(self._actor._class(), self._name)
        options = {"task_id": name, "effect": True, "metadata": self._options.get("metadata")}
        return nodes.calling(_called, options, (self, *args), kwargs)

    def options(self, *, call_id: str | None = None, **changed: Any) -> ActorMethod:
        """The method with other options. ``metadata`` is merged key by key, Ray's options one by one.

        Args:
            call_id: two calls with the same id are one: the second has the value of the first, unless
                that has failed. Calls from a task have one each, so a repeated attempt does not repeat them.
            **changed: ``name`` of the call, ``metadata``, ``max_retries`` (0 where it is left out),
                ``catch_exceptions``, and Ray's options of the task.

        Raises:
            ValueError: an option that makes no sense.
            TypeError: ``call_id`` is no string.
        """
        checked = checked_options(changed)
        if checked.get("metadata") is not None:
            before = self._options.get("metadata") or {}
            checked["metadata"] = check_metadata({**before, **checked["metadata"]})
        chosen: object = call_id
        if chosen is not None:
            if not isinstance(chosen, str) or not chosen:
                raise TypeError(f"call_id is a non-empty string, not {chosen!r}.")
            checked["call_id"] = chosen
        given = {k: v for k, v in checked.items() if v is not None}
        return ActorMethod(self._actor, self._name, {"max_retries": 0, **self._options, **given})

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(
            f"A method of a virtual actor is not called directly: {self._name}.run(...) calls it."
        )

    def __repr__(self) -> str:
        return f"<method {self._name} of {self._actor!r}>"

    @property
    def _is_reader(self) -> bool:
        return is_readonly(_methods(self._actor._class()).get(self._name))

    def _check(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        _check_call(self._actor._class(), self._name, args, kwargs)

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> reading.Reading:
        return reading.Reading(
            self._name, args, kwargs, bool(self._options.get("catch_exceptions"))
        )

    def _node(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> MethodNode:
        ours, rays = divided(self._options)
        retries = ours.get("max_retries", _RETRIES)
        rays.pop("call_id", None)
        rays |= {"max_retries": retries, "retry_exceptions": bool(retries)}
        options = {
            "task_id": ours.get("name") or _name(self._actor._class(), self._name),
            "metadata": ours.get("metadata"),
            "catch_exceptions": ours.get("catch_exceptions"),
        }
        return nodes.method_call(self._name, args, kwargs, options, **rays)

    def _id_of(self, call: MethodNode) -> str:
        chosen: str | None = self._options.get("call_id")
        return chosen or _call_id(call, self._actor.actor_id)


class _Own:
    """``self.method.step`` inside a method: a call of another method in the same call."""

    def __init__(self, name: str, function: FunctionType) -> None:
        self._name, self._function = name, function

    def __call__(self, *args: Any, **kwargs: Any) -> MethodNode:
        nodes.check_signature(self._function, (None, *args), kwargs)
        name = task_name(self._function.__module__, self._function.__qualname__)
        rays = {"max_retries": _RETRIES, "retry_exceptions": True}
        return nodes.method_call(self._name, args, kwargs, {"task_id": name}, **rays)


def is_readonly(method: Any) -> bool:
    """Whether a method was marked with ``virtual_actor.readonly``."""
    return bool(getattr(method, _READONLY, False))


def _called(method: ActorMethod, *args: Any, **kwargs: Any) -> Any:
    """The task of a bound method."""
    return method.run(*args, **kwargs)


@lru_cache(maxsize=256)
def _methods(cls: type) -> dict[str, Any]:
    """The methods of a class by their names, without those that begin with an underscore."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if base is not object:
            found |= {n: m for n, m in vars(base).items() if not n.startswith("_")}
    return {
        n: m for n, m in found.items() if isinstance(m, FunctionType | staticmethod | classmethod)
    }


def _check_call(cls: type, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Raise TypeError if the arguments do not fit a method."""
    if name == CONSTRUCTOR and cls.__init__ is object.__init__:  # type: ignore[misc]
        if args or kwargs:
            raise TypeError(f"{cls.__qualname__} has no __init__, so it takes no arguments.")
        return
    found = inspect.getattr_static(cls, name)
    bound = () if isinstance(found, staticmethod | classmethod) else (None,)
    nodes.check_signature(getattr(cls, name), (*bound, *args), kwargs)


def _name(cls: type, method: str) -> str:
    return task_name(cls.__module__, f"{cls.__qualname__}.{method}")


def _call_id(call: MethodNode, actor_id: str = "") -> str:
    """An id for a call: in every attempt of a task the same for what is the same."""
    task = context.current.get()
    if task is None or task.lifeline is None:
        return uuid.uuid4().hex
    asked = (actor_id, call.call.options["method"], repr(call.call.args), repr(call.call.kwargs))
    what = hashlib.sha256(repr(asked).encode("utf-8", "surrogatepass")).hexdigest()
    number = task.lifeline.next_call(what)
    return f"{task.workflow_id}/{task.submission}/{task.task_id}/{what[:16]}/{number}"
