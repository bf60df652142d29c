"""The code of tasks: stored once per content, loaded once per worker."""

from __future__ import annotations

import hashlib
import pickle
import sys
import sysconfig
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import cloudpickle

from rayflow.errors import CodeUnavailableError, SerializationError
from rayflow.storage import layout
from rayflow.storage.address import name_of
from rayflow.storage.root import open_store
from rayflow.storage.store import Store

_by_value = threading.Lock()  # cloudpickle keeps the modules to pickle by value in a global table


class CodeStore:
    """Puts functions into a store, each content once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._digests: weakref.WeakKeyDictionary[Callable[..., Any], str] = (
            weakref.WeakKeyDictionary()
        )
        self._stored: set[str] = set()

    def put(self, function: Callable[..., Any]) -> str:
        """Store ``function`` if it is new and return its digest (SHA-256, hex).

        Raises:
            SerializationError: it cannot be pickled.
        """
        digest = self._digests.get(function)
        if digest is None:
            code = dump(function)
            digest = hashlib.sha256(code).hexdigest()
            if digest not in self._stored and self._store.size(layout.function(digest)) is None:
                self._store.write(layout.function(digest), [code])
            self._stored.add(digest)
            self._digests[function] = digest
        return digest


def dump(function: Any) -> bytes:
    """Pickle a function; code that is not an installed package goes along by value.

    Something else than a function names the modules of its code in an attribute ``homes``.
    """
    homes = getattr(function, "homes", None) or {function.__module__}
    known = [sys.modules[name] for name in sorted(homes) if name in sys.modules]
    try:
        with _by_value, ExitStack() as stack:
            for module in known:
                if not _is_installed(module):
                    stack.enter_context(_carried(module))
            return bytes(cloudpickle.dumps(function, protocol=5))
    except Exception as error:  # objects in closures may raise anything from __reduce__
        name = getattr(function, "__qualname__", repr(function))
        raise SerializationError(
            f"The code of task {name} cannot be stored: {type(error).__name__}: "
            f"{error}. It probably uses an object, such as a lock or a connection, that cannot be "
            "pickled; create it inside the task."
        ) from error


@contextmanager
def _carried(module: ModuleType) -> Iterator[None]:
    """Have cloudpickle take the code of ``module`` along by value."""
    if module.__name__ in cloudpickle.list_registry_pickle_by_value():
        yield
        return
    cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        cloudpickle.unregister_pickle_by_value(module)


@lru_cache(maxsize=1024)
def load(storage: str, digest: str) -> Callable[..., Any]:
    """The function with ``digest``.

    Raises:
        CodeUnavailableError: it is missing, or a module that it needs cannot be imported here.
    """
    try:
        code = open_store(storage).read(layout.function(digest))
    except KeyError:
        raise CodeUnavailableError(
            f"The code {digest} is missing in the storage {name_of(storage)}."
        ) from None
    if hashlib.sha256(code).hexdigest() != digest:
        raise CodeUnavailableError(
            f"The code {digest} in the storage {name_of(storage)} is damaged."
        )
    try:
        function: Callable[..., Any] = pickle.loads(code)
    except ImportError as error:
        raise CodeUnavailableError(
            f"A task needs the module '{error.name}', which cannot be imported here: {error}. "
            "Install it on every node, then resume the workflow."
        ) from error
    return function


def _is_installed(module: ModuleType) -> bool:
    """Whether every node can be expected to have ``module``: installed, built in, or RayFlow itself."""
    if module.__name__.partition(".")[0] in ("rayflow", "ray", "__main__"):
        return True  # __main__ is pickled by value anyway
    file = getattr(module, "__file__", None)
    if file is None:
        return True
    paths = sysconfig.get_paths()
    roots = {paths[name] for name in ("purelib", "platlib", "stdlib", "platstdlib")}
    return any(Path(file).is_relative_to(root) for root in roots)
