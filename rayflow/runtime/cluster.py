"""How a process connects to Ray and to the engines of a storage root, and starts what is not there yet."""

from __future__ import annotations

import itertools
import logging
import os
import re
import threading
import uuid
from contextlib import suppress
from dataclasses import replace
from typing import Any

import ray

from rayflow import context
from rayflow.config import NAMESPACE, ChosenLimits, default_engines, default_storage
from rayflow.errors import EngineUnavailableError, RootInUseError, StorageError
from rayflow.runtime import apart, environment
from rayflow.runtime.connection import Connection, unwrapped
from rayflow.runtime.engine import Engine
from rayflow.runtime.far_store import is_far
from rayflow.runtime.peers import actor_options, engine_name, find_engine
from rayflow.storage.address import name_of, parse
from rayflow.storage.root import check_shared, check_writable, open_store

logger = logging.getLogger("rayflow")


class Connector:
    """Connects once per process, Ray session and engine; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._connection: Connection | None = None
        # Of tasks, and of what came from other roots, by the names of their engines.
        self._others: dict[str, Connection] = {}
        self._session: str | None = None

    def connect(
        self,
        storage: object = None,
        chosen: ChosenLimits | None = None,
        *,
        resume_interrupted: bool = False,
    ) -> Connection:
        """The connection of the task that runs here, else of the process; made if there is none.

        ``resume_interrupted``: whoever calls wants what an earlier cluster left RESUMABLE to go on.

        Raises:
            ValueError: another storage or other limits are in use.
            EngineUnavailableError: Ray cannot be reached.
            RootInUseError, StorageError: the root cannot be used.
        """
        wanted = None if storage is None else parse(storage)
        with self._lock:
            self._ensure_session()
            connection = self._present()
            if connection is None:
                connection = self._open(wanted, chosen or ChosenLimits(), resume_interrupted)
                self._keep(connection)
            elif wanted is not None and name_of(wanted) != name_of(connection.storage):
                raise ValueError(
                    f"RayFlow uses the storage {name_of(connection.storage)} in this process;"
                    f" it cannot change to {name_of(wanted)}. Use another process, or "
                    "ray.shutdown() first."
                )
            elif resume_interrupted:
                connection.call("engage", True)
            if chosen is not None:
                _check_limits(connection, chosen)
            return connection

    def connect_to(self, engine: str | None) -> Connection:
        """The connection to the engine with this name; without one that runs, that of the process.

        Raises:
            EngineUnavailableError, RootInUseError, StorageError: as :meth:`connect`.
        """
        if engine is None or context.current.get() is not None:
            return self.connect()
        with self._lock:
            self._ensure_session()
            if self._connection is not None and self._connection.name == engine:
                return self._connection
            if engine not in self._others:
                address = _address_of(engine)
                if address is None:
                    return self.connect()
                self._others[engine] = self._open(address, ChosenLimits(), False)
            return self._others[engine]

    def disconnect(self) -> None:
        """Forget the connections; the engines go on."""
        with self._lock:
            for connection in (self._connection, *self._others.values()):
                if connection is not None:
                    connection.close()
            self._connection = None
            self._others.clear()

    def _ensure_session(self) -> None:
        self._ensure_ray()
        session = ray.get_runtime_context().get_job_id()
        if self._session != session:
            self.disconnect()
            self._session = session

    def _present(self) -> Connection | None:
        """That of the workflow task that runs here, else of the process, if there is one.

        Workers serve the tasks of all roots that a program has, and plain tasks of Ray beside them.
        """
        task = context.current.get()
        if task is None:
            return self._connection
        name = engine_name(task.storage)
        own = self._connection
        return own if own is not None and own.name == name else self._others.get(name)

    def _keep(self, connection: Connection) -> None:
        if context.current.get() is None:
            self._connection = connection
        else:
            self._others[connection.name] = connection

    def _ensure_ray(self) -> None:
        if ray.is_initialized():
            return
        try:
            ray.init(
                namespace=NAMESPACE,
                log_to_driver=True,
                address=os.environ.get("RAY_ADDRESS") or None,
            )
        except ConnectionError as error:
            raise EngineUnavailableError(
                f"No Ray cluster answers at {os.environ.get('RAY_ADDRESS')}: {error}."
            ) from error

    def _open(self, storage: str | None, chosen: ChosenLimits, resume: bool) -> Connection:
        task = context.current.get()
        address = parse(
            storage or (task.storage if task else None) or _recorded() or default_storage()
        )
        is_near = not is_far()  # a Ray Client need not see the storage
        if is_near:
            check_writable(open_store(address))
        instance = uuid.uuid4().hex
        if chosen.engines is None:
            chosen = replace(chosen, engines=default_engines())
        engine = _engine_of(address, chosen, instance)
        try:
            about = unwrapped(engine.engage.remote(resume))
        except (RootInUseError, StorageError):
            _kill_all(address)
            raise
        owner = about["instance"]
        try:
            if is_near:
                check_shared(address, owner, "this process")
        except StorageError:
            if owner == instance:  # nobody else's work hangs on it
                _kill_all(address)
            raise
        others = (find_engine(address, number) for number in range(1, about["engines"]))
        return Connection(address, [engine, *others])


def _recorded() -> str | None:
    """The root that the cluster uses already, if it is the only one and nobody chose another."""
    if "RAYFLOW_STORAGE" in os.environ:
        return None
    engines = [
        a
        for a in ray.util.list_named_actors(all_namespaces=True)
        if a["namespace"] == NAMESPACE and re.fullmatch("engine-[0-9a-f]+", a["name"])
    ]
    if len(engines) != 1:
        return None
    return _address_of(engines[0]["name"])


def _address_of(engine: str) -> str | None:
    """The root of an engine, if it runs."""
    try:
        actor = ray.get_actor(engine, namespace=NAMESPACE)
    except ValueError:  # there is none
        return None
    return str(unwrapped(actor.address.remote()))


def _engine_of(address: str, chosen: ChosenLimits, instance: str) -> Any:
    """The first engine of a root: found, or made as ``instance``."""
    if is_far() or not environment.of_process():
        return make_engine(address, chosen, instance)
    with suppress(ValueError):  # there is none
        return find_engine(address)
    if apart.start(address, chosen, instance):
        return find_engine(address)
    logger.warning(
        "The engine inherits the runtime_env of this program, and so do the workflows of programs "
        "that have none; install RayFlow on every node to keep them apart."
    )
    return make_engine(address, chosen, instance)


def _kill_all(address: str) -> None:
    """End the engines of a root for good: none of them can work."""
    for number in itertools.count():
        try:
            ray.kill(find_engine(address, number), no_restart=True)
        except ValueError:
            return


def make_engine(address: str, chosen: ChosenLimits, instance: str) -> Any:
    """The first engine of a root, which inherits the ``runtime_env`` of this process if it is made now."""
    actor: Any = ray.remote(Engine)
    return actor.options(**actor_options(address)).remote(
        address, chosen.limits, instance, chosen.engines
    )


def _check_limits(connection: Connection, chosen: ChosenLimits) -> None:
    if chosen.engines not in (None, connection.engines):
        raise ValueError(
            f"The cluster has {connection.engines} engines for this root; that cannot change to "
            f"{chosen.engines} while they run."
        )
    used = connection.call("about")["limits"]
    for name, wanted in (("running", chosen.running), ("pending", chosen.pending)):
        current = -1 if used[name] is None else used[name]
        if wanted is not None and current != wanted:
            raise ValueError(
                f"The cluster's engine has max_{name}_workflows={current} (-1 is unlimited); it cannot "
                f"change to {wanted} while it runs."
            )
