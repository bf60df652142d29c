"""Values that refer to Ray objects: what an ObjectRef inside arguments or results becomes in storage.

The contents of a reference are stored once per workflow, under their hash; where the reference stood, a
persistent id names them. Reading makes a new reference to the same contents, so the types that user code
sees do not change after a recovery.
"""

from __future__ import annotations

import pickle
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import ray

from rayflow.core.graph import StoredValue
from rayflow.errors import DataLoadError, SerializationError, StorageError
from rayflow.runtime import code as stored_code
from rayflow.runtime.code import CodeStore
from rayflow.storage import layout
from rayflow.storage.root import open_store
from rayflow.storage.store import Buffer, Store
from rayflow.storage.values import Encoded, decode, encode, load_bytes

_PROBE_SECONDS = 10.0


class ValueWriter:
    """Encodes values of one workflow and stores what is too large to travel inline.

    ``known``: references whose contents are stored already; new ones are added.
    """

    def __init__(
        self,
        store: Store,
        workflow_id: str,
        code: CodeStore,
        known: dict[Any, StoredValue] | None = None,
    ) -> None:
        self._store, self._workflow_id, self._code = store, workflow_id, code
        self._known: dict[Any, StoredValue] = {} if known is None else known
        self._fresh: list[str] = []  # keys that nobody else knows
        self._shared: list[str] = []  # keys of contents, which others may have stored as well
        self.has_code = False  # whether anything encoded so far uses code of the user

    def function(self, function: Callable[..., Any]) -> str:
        """Store code; see :meth:`CodeStore.put`."""
        return self._code.put(function)

    def object_ref(self, value: Any) -> StoredValue | None:
        """Store what an ObjectRef refers to; None if ``value`` is no ObjectRef.

        Raises:
            SerializationError: ``value`` is an actor, which cannot be stored.
        """
        if _is_actor(value):
            raise SerializationError(
                "An actor handle cannot be stored: the actor does not outlive its cluster. "
                "Pass the actor's name and call ray.get_actor inside the task."
            )
        if not isinstance(value, ray.ObjectRef):
            return None
        if value not in self._known:
            content = ray.get(value)
            encoded = encode(
                content, persistent_id=self.persistent_id, what="contents of a reference"
            )
            stored = self._known[value] = encoded.store_once(
                self._store, lambda digest: layout.value(self._workflow_id, "objects", digest)
            )
            if stored.key is not None:
                self._shared.append(stored.key)
        return self._known[value]

    def arguments(self, value: Any, persistent_id: Callable[[Any], Any], task: str) -> StoredValue:
        """Encode the arguments of a task."""
        return self.keep(self._encoded(value, persistent_id, task), task)

    def size(self, value: Any, persistent_id: Callable[[Any], Any], task: str) -> int:
        """How many bytes :meth:`arguments` would take for ``value``."""
        return self._encoded(value, persistent_id, task).size

    def _encoded(self, value: Any, persistent_id: Callable[[Any], Any], task: str) -> Encoded:
        def any_id(inside: Any) -> Any:
            return self._code_id(inside) or persistent_id(inside)

        return encode(value, persistent_id=any_id, what=f"arguments of task '{task}'")

    def result(self, value: Any, task_id: str, what: str = "result of") -> Encoded:
        """Encode the result of a task; references inside are stored first."""
        return encode(value, persistent_id=self.persistent_id, what=f"{what} task '{task_id}'")

    def keep(self, encoded: Encoded, folder: str) -> StoredValue:
        """Store ``encoded`` inline or under a fresh key below ``folder``."""
        stored = encoded.store(
            self._store, lambda: layout.value(self._workflow_id, folder, uuid.uuid4().hex)
        )
        if stored.key is not None:
            self._fresh.append(stored.key)
        return stored

    def discard(self, *, is_alone: bool) -> None:
        """Remove what was written: nobody will read it. ``is_alone``: nobody else writes for this id."""
        for key in (*self._fresh, *(self._shared if is_alone else ())):
            with suppress(StorageError):  # then it is left over, which harms nobody
                self._store.delete(key)

    def persistent_id(self, value: Any) -> Any:
        """For :class:`pickle.Pickler`: ObjectRefs become ids of stored objects."""
        stored = self.object_ref(value)
        return self._code_id(value) if stored is None else ("object", stored)

    def _code_id(self, value: Any) -> Any:
        """Classes and functions of the user are stored as code, once, and named by their digest."""
        digest = self._code.reference(value)
        if digest is None:
            return None
        self.has_code = True
        return ("code", digest)


def _is_actor(value: Any) -> bool:
    # Ray Client's handles are a class of their own, in a module that needs grpc.
    return isinstance(value, ray.actor.ActorHandle) or type(value).__name__ == "ClientActorHandle"


@dataclass(frozen=True, slots=True)
class Input:
    """An upstream value on its way into a task: stored, or live in Ray's object store."""

    stored: StoredValue | None
    ref: Any = None

    @property
    def is_stored(self) -> bool:
        """Whether its bytes can be read from somewhere else than Ray's object store."""
        stored = self.stored
        return stored is not None and (stored.data is not None or stored.key is not None)


class LostInputError(Exception):
    """The value of the upstream task at ``position`` is neither stored nor in memory any more."""

    def __init__(self, position: int) -> None:
        super().__init__(position)
        self.position = position

    def __str__(self) -> str:
        return (
            "The result of an upstream task that is not stored (checkpoint=False) was lost with the "
            "process or node that had it; it is computed again."
        )


class ValueReader:
    """Decodes values, with ``inputs`` for the outputs of upstream tasks.

    ``known`` collects the references that reading has made, and where their contents are stored.
    """

    def __init__(self, store: Store, inputs: Sequence[Input] = ()) -> None:
        self._store, self._inputs = store, inputs
        self._refs: dict[Any, Any] = {}
        self._values: dict[int, Any] = {}
        self.known: dict[Any, StoredValue] = {}

    def read(self, stored: StoredValue) -> Any:
        """The value that ``stored`` describes.

        Raises:
            DataLoadError: it is missing or damaged.
            CodeUnavailableError: it is made of classes that cannot be loaded here.
        """
        return self.decode(stored.format, load_bytes(self._store, stored))

    def decode(self, format: str, data: Buffer) -> Any:
        """The value that ``data`` encodes.

        Raises:
            CodeUnavailableError: it is made of classes that cannot be loaded here.
        """
        try:
            return decode(format, data, persistent_load=self.resolve)
        except ImportError as error:
            raise stored_code.missing_module("A stored value", error) from error

    def input(self, position: int) -> Any:
        """The value of an upstream task, the same object every time."""
        if position not in self._values:
            self._values[position] = self._input(position)
        return self._values[position]

    def _input(self, position: int) -> Any:
        """From storage when the live object is gone."""
        given = self._inputs[position]
        if given.ref is not None:
            try:
                return ray.get(given.ref)
            except ray.exceptions.ObjectLostError as error:
                if not given.is_stored:
                    raise LostInputError(position) from error
        if not given.is_stored or given.stored is None:
            raise LostInputError(position)
        return self.read(given.stored)

    def lost_inputs(self, error: BaseException | None) -> tuple[int, ...]:
        """Which inputs ``error``, or what it was raised from, says are gone from Ray's object store."""
        gone: set[str] = set()
        while error is not None:
            if isinstance(error, ray.exceptions.ObjectLostError):
                gone.add(error.object_ref_hex)
            error = error.__cause__ or error.__context__
        if not any(i.ref is not None and i.ref.hex() in gone for i in self._inputs):
            return ()
        return self.gone_inputs()

    def gone_inputs(self) -> tuple[int, ...]:
        """Which inputs are gone: what had one of them had others too, and each would cost an attempt."""
        return tuple(n for n, given in enumerate(self._inputs) if _is_gone(given))

    def resolve(self, pid: Any) -> Any:
        """What a persistent id of :class:`ValueWriter` stands for."""
        kind, which = pid
        if kind == "input":  # an argument of workflow.run, or a value that stands inside another
            return self.read(which)
        if kind == "value":
            return self.input(which)
        if kind == "code":
            return stored_code.load(self._store, which)
        if pid not in self._refs:  # what was one reference stays one
            self._refs[pid] = self._upstream(which) if kind == "task" else self._object(which)
        return self._refs[pid]

    def _upstream(self, position: int) -> Any:
        given = self._inputs[position]
        return given.ref if given.ref is not None else _reference(self.input(position))

    def _object(self, stored: StoredValue) -> Any:
        ref = _reference(self.read(stored))
        self.known[ref] = stored
        return ref


def _is_gone(given: Input) -> bool:
    if given.ref is None:
        return not given.is_stored
    try:
        ray.get(given.ref, timeout=_PROBE_SECONDS)
    except ray.exceptions.ObjectLostError:
        return True
    except ray.exceptions.GetTimeoutError:
        return False
    return False


class _Contents:
    """Unpickles as what it holds. Ray refuses to put a reference, but not an object that becomes one."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _itself, (self._value,)


def _itself(value: Any) -> Any:
    return value


def _reference(value: Any) -> Any:
    """A reference to ``value``, which may be one itself."""
    return ray.put(_Contents(value) if isinstance(value, ray.ObjectRef) else value)


class Carried:
    """A live value that uses code of the user: it unpickles as the value itself, like a stored one.

    Ray would pickle classes that no worker can import once more, with all that their methods use.
    """

    def __init__(self, storage: str, encoded: Encoded) -> None:
        self._storage, self._encoded = storage, encoded

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        data = pickle.PickleBuffer(b"".join(self._encoded.parts))
        return decoded, (self._storage, self._encoded.format, data)


def decoded(storage: str, format: str, data: Any) -> Any:
    """The value of a :class:`Carried`, in the process that unpickles it."""
    return ValueReader(open_store(storage)).decode(format, memoryview(data))


class Output:
    """A result on its way to whoever asked for it: it unpickles as the value itself.

    So an ``ObjectRef`` to it behaves like one to the value, and the engine never unpickles values.
    """

    def __init__(self, storage: str, stored: StoredValue | None, ref: Any) -> None:
        self._parts = (storage, stored, ref)

    @property
    def is_live(self) -> bool:
        """Whether it lies in Ray's object store, so that only Ray can carry it."""
        return self._parts[2] is not None

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return materialise, self._parts


def materialise(storage: str, stored: StoredValue | None, ref: Any) -> Any:
    """The value of an :class:`Output`, in the process that unpickles it."""
    try:
        return ValueReader(open_store(storage), [Input(stored, ref)]).input(0)
    except LostInputError as error:
        raise DataLoadError(
            "The value was not to be stored (checkpoint=False), and the process or node that had it is gone; "
            "resuming the workflow computes it again."
        ) from error
