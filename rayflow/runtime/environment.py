"""The environment of a workflow: the ``runtime_env`` of the program that submitted it.

Ray keeps a program's packages (``working_dir``, ``py_modules``) in the cluster as long as the program
lives. A workflow lives longer, so they are copied into the storage, under names of our own: Ray counts
who uses a package of its own and removes it, and leaves others alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import ray
from ray.experimental import internal_kv

from rayflow.core.graph import Graph, TaskOptions
from rayflow.errors import DataLoadError
from rayflow.runtime.ray_options import restored
from rayflow.storage import layout
from rayflow.storage.store import Store

_SCHEME = "gcs://"
_PREFIX = "rayflow_"


def of_process() -> dict[str, Any]:
    """The ``runtime_env`` of this program or worker, empty if it has none. It may hold secrets."""
    return dict(ray.get_runtime_context().runtime_env)


def merged(outer: Mapping[str, Any] | None, inner: Mapping[str, Any] | None) -> dict[str, Any]:
    """A task's own environment within its workflow's, as Ray does it: ``env_vars`` come together."""
    both = {**(outer or {}), **(inner or {})}
    variables = {**((outer or {}).get("env_vars") or {}), **((inner or {}).get("env_vars") or {})}
    return {**both, "env_vars": variables} if variables else both


def around(outer: Mapping[str, Any] | None, stored: Mapping[str, Any]) -> dict[str, Any]:
    """Ray's options of a task as they are stored, with its environment within that of its workflow.

    Raises:
        ValueError: the task's own environment cannot be loaded here.
    """
    if not outer and not stored.get("runtime_env"):
        return dict(stored)
    own = restored({"runtime_env": stored.get("runtime_env")})["runtime_env"]
    both = merged(outer, own)
    return {**stored, "runtime_env": both} if both else dict(stored)


def keep(store: Store, environment: Mapping[str, Any]) -> dict[str, Any]:
    """Copy the packages of ``environment`` into the storage, once per content; names them anew.

    Raises:
        DataSaveError: the storage failed.
    """
    return _renamed(environment, lambda uri: _kept(store, uri))


def keep_tasks(store: Store, graph: Graph) -> Graph:
    """``graph`` with the packages of its tasks' own environments kept, see :func:`keep`."""
    if not any(node.options.ray.get("runtime_env") for node in graph.nodes):
        return graph
    nodes = tuple(replace(n, options=_keep_task(store, n.options)) for n in graph.nodes)
    return replace(graph, nodes=nodes)


def without_secrets(ray_options: Mapping[str, Any]) -> dict[str, Any]:
    """Ray's options of a task as they may be shown: of its ``env_vars`` the names alone."""
    own = ray_options.get("runtime_env")
    if own and own.keys() == {"pickled", "repr"}:
        return {**ray_options, "runtime_env": "***"}
    if not own or not own.get("env_vars"):
        return dict(ray_options)
    hidden = dict.fromkeys(own["env_vars"], "***")
    return {**ray_options, "runtime_env": {**own, "env_vars": hidden}}


class Packages:
    """Puts packages back into the present cluster, each once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._there: set[str] = set()

    def restore(self, environments: Iterable[Mapping[str, Any] | None]) -> None:
        """Have every package of ``environments`` in the cluster.

        Raises:
            DataLoadError: one is neither there nor in the storage.
        """
        for uri in uris(environments):
            if uri not in self._there:
                self._restore(uri)
                self._there.add(uri)

    def _restore(self, uri: str) -> None:
        if internal_kv._internal_kv_exists(uri.encode()):
            return
        key = key_of(uri)
        try:
            package = self._store.read(key)
        except KeyError:
            raise DataLoadError(
                f"The package '{key}' of the workflow's runtime_env is missing in {self._store.uri}; "
                "put it back from a copy of the storage, then resume the workflow."
            ) from None
        internal_kv._internal_kv_put(uri.encode(), package)


def uris(environments: Iterable[Mapping[str, Any] | None]) -> Iterator[str]:
    """The packages that ``environments`` have in the cluster."""
    for environment in filter(None, environments):
        for value in (environment.get("working_dir"), *(environment.get("py_modules") or ())):
            if isinstance(value, str) and value.startswith(_SCHEME):
                yield value


def key_of(uri: str) -> str:
    """Where the storage has a package."""
    return layout.package(uri.removeprefix(_SCHEME))


def _keep_task(store: Store, options: TaskOptions) -> TaskOptions:
    own = options.ray.get("runtime_env")
    return (
        replace(options, ray={**options.ray, "runtime_env": keep(store, own)}) if own else options
    )


def _renamed(environment: Mapping[str, Any], name: Callable[[str], str]) -> dict[str, Any]:
    """``environment`` with every package in the cluster's own store called ``name(uri)``."""

    def one(value: Any) -> Any:
        return name(value) if isinstance(value, str) and value.startswith(_SCHEME) else value

    changed = dict(environment)
    if "working_dir" in changed:
        changed["working_dir"] = one(changed["working_dir"])
    if changed.get("py_modules"):
        changed["py_modules"] = [one(each) for each in changed["py_modules"]]
    return changed


def _kept(store: Store, uri: str) -> str:
    name = uri.removeprefix(_SCHEME)
    if name.startswith(_PREFIX):
        return uri  # submitted from inside a workflow, which has it
    package: bytes | None = internal_kv._internal_kv_get(uri.encode())
    if package is None:
        return uri  # Ray will say that it is missing
    if name.endswith(".zip"):  # the name of a wheel means something
        name = f"{_PREFIX}{hashlib.sha256(package).hexdigest()[:32]}.zip"
    key, kept = layout.package(name), f"{_SCHEME}{name}"
    if store.size(key) is None:
        store.write(key, [package])
    if not internal_kv._internal_kv_exists(kept.encode()):
        internal_kv._internal_kv_put(kept.encode(), package)
    return kept
