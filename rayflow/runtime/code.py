"""The code of tasks and values: stored once per content, loaded once per process."""

from __future__ import annotations

import hashlib
import logging
import pickle
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any

from rayflow.errors import CodeUnavailableError, SerializationError
from rayflow.runtime import carrying
from rayflow.storage import layout
from rayflow.storage.store import Store

logger = logging.getLogger("rayflow")

_MAX_LOADED = 1024
_loaded: OrderedDict[str, Any] = OrderedDict()
_loading = threading.RLock()  # half-made classes are in a table that all threads see


class CodeStore:
    """Puts functions, classes and modules into a store, each content once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._digests: weakref.WeakKeyDictionary[Any, str | None] = weakref.WeakKeyDictionary()
        self._stored: set[str] = set()

    def put(self, function: Callable[..., Any]) -> str:
        """Store ``function`` if it is new and return its digest (SHA-256, hex).

        Raises:
            SerializationError: it cannot be pickled.
        """
        digest = self._digests.get(function)
        if digest is None:
            digest = self._digests[function] = self._write(dump(function))
        return digest

    def reference(self, value: Any) -> str | None:
        """The digest of the code that a value uses, stored; None if it is to be named instead.

        That is what is installed, what is made on the spot (a lambda, a closure), and what no pickle can hold.
        """
        if not isinstance(value, type | FunctionType | ModuleType) or not carrying.travels(value):
            return None
        if isinstance(value, FunctionType) and "<" in value.__qualname__:
            return None
        try:
            if value not in self._digests:
                self._digests[value] = self._write(carrying.dump(value))
            return self._digests[value]
        except Exception as error:  # objects may raise anything from __reduce__
            logger.warning(
                "%r cannot be stored by value, only by name; reading it needs its module: %s",
                value,
                error,
            )
            self._digests[value] = None
            return None

    def _write(self, code: bytes) -> str:
        digest = hashlib.sha256(code).hexdigest()
        if digest not in self._stored and self._store.size(layout.function(digest)) is None:
            self._store.write(layout.function(digest), [code])
        self._stored.add(digest)
        return digest


def dump(function: Any) -> bytes:
    """Pickle a function; code that is not an installed package goes along by value.

    If other modules use what cannot be pickled, they are named, and only the function's own module
    goes along. Something else than a function names the modules of its code in ``homes``.

    Raises:
        SerializationError: it cannot be pickled.
    """
    homes = set(getattr(function, "homes", None) or {function.__module__})
    name = getattr(function, "__qualname__", repr(function))
    try:
        return carrying.dump(function)
    except Exception as error:  # objects in closures may raise anything from __reduce__
        try:
            code = carrying.dump(function, only=homes)
        except Exception:
            raise SerializationError(
                f"The code of task {name} cannot be stored: {type(error).__name__}: "
                f"{error}. It probably uses an object, such as a lock or a connection, that cannot "
                "be pickled; create it inside the task."
            ) from error
        logger.warning(
            "The code of task %s is stored without that of other modules, because of one that "
            "cannot be pickled (%s). To run or resume it, every node must have them.",
            name,
            error,
        )
        return code


def load(store: Store, digest: str) -> Any:
    """The function, class or module with ``digest``.

    Raises:
        CodeUnavailableError: it is missing, or a module that it needs cannot be imported here.
    """
    with _loading:
        if digest not in _loaded:
            _loaded[digest] = _read(store, digest)
            if len(_loaded) > _MAX_LOADED:
                _loaded.popitem(last=False)
        _loaded.move_to_end(digest)
        return _loaded[digest]


def _read(store: Store, digest: str) -> Any:
    try:
        code = store.read(layout.function(digest))
    except KeyError:
        raise CodeUnavailableError(
            f"The code {digest} is missing in the storage {store.uri}."
        ) from None
    if hashlib.sha256(code).hexdigest() != digest:
        raise CodeUnavailableError(f"The code {digest} in the storage {store.uri} is damaged.")
    try:
        return pickle.loads(code)
    except ImportError as error:
        raise missing_module("A task", error) from error


def missing_module(what: str, error: ImportError) -> CodeUnavailableError:
    """The error that names the module that ``what`` needs and that cannot be imported."""
    return CodeUnavailableError(
        f"{what} needs the module '{error.name}', which cannot be imported here: {error}. "
        "Install it on every node, then resume the workflow."
    )
