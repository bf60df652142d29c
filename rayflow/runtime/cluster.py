"""The connection of a process to Ray and to the engine of a storage root."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import uuid
from contextlib import suppress
from functools import cached_property
from typing import Any

import ray

from rayflow import context
from rayflow.config import NAMESPACE, ChosenLimits, Limits, default_storage
from rayflow.errors import EngineUnavailableError, RootInUseError, StorageError, WorkflowError
from rayflow.runtime import apart, engine_logs, environment
from rayflow.runtime.code import CodeStore
from rayflow.runtime.direct import Direct, UnreachedError
from rayflow.runtime.engine import Engine
from rayflow.runtime.far_store import FarStore, is_far
from rayflow.runtime.listener import Listener
from rayflow.storage.address import name_of, parse
from rayflow.storage.root import check_shared, check_writable, open_store

logger = logging.getLogger("rayflow")

_MANY = 1_000_000  # waiting callers hold no thread, so nothing needs to bound them


class Connection:
    """One process's handle to one engine."""

    def __init__(self, storage: str, engine: Any) -> None:
        self.storage, self.engine = storage, engine
        self.store = FarStore(storage) if is_far() else open_store(storage)
        self.code = CodeStore(self.store)
        self.listener = Listener(engine)
        self._direct = None if is_far() else Direct(lambda: unwrapped(engine.line.remote()))
        self.name = engine_name(storage)

    @cached_property
    def environment(self) -> dict[str, Any] | None:
        """The ``runtime_env`` of this process with its packages kept in the storage, if it has one."""
        own = environment.of_process()
        return environment.keep(self.store, own) if own else None

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
        return unwrapped(getattr(self.engine, method).remote(*args))

    def close(self) -> None:
        """Hang up; the engine goes on."""
        if self._direct is not None:
            self._direct.close()


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


class Connector:
    """Connects once per process, Ray session and engine; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._connection: Connection | None = None
        self._others: dict[str, Connection] = {}  # by the names of engines, for what came from them
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
            self._follow_task()
            if self._connection is None:
                limits = (chosen or ChosenLimits()).limits
                self._connection = self._open(wanted, limits, resume_interrupted)
            elif wanted is not None and name_of(wanted) != name_of(self._connection.storage):
                raise ValueError(
                    f"RayFlow uses the storage {name_of(self._connection.storage)} in this process;"
                    f" it cannot change to {name_of(wanted)}. Use another process, or "
                    "ray.shutdown() first."
                )
            elif resume_interrupted:
                self._connection.call("start", True)
            if chosen is not None:
                _check_limits(self._connection, chosen)
            return self._connection

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
                self._others[engine] = self._open(address, Limits(), False)
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

    def _follow_task(self) -> None:
        """Workers serve the tasks of all engines that a program has."""
        task = context.current.get()
        name = None if task is None else engine_name(task.storage)
        if name and self._connection is not None and self._connection.name != name:
            self._others[self._connection.name] = self._connection
            self._connection = self._others.get(name)

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

    def _open(self, storage: str | None, limits: Limits, resume: bool) -> Connection:
        task = context.current.get()
        address = parse(
            storage or (task.storage if task else None) or _recorded() or default_storage()
        )
        is_near = not is_far()  # a Ray Client need not see the storage
        if is_near:
            check_writable(open_store(address))
        instance = uuid.uuid4().hex
        engine = _engine_of(address, limits, instance)
        try:
            owner = unwrapped(engine.start.remote(resume))["instance"]
        except (RootInUseError, StorageError):
            ray.kill(engine, no_restart=True)
            raise
        try:
            if is_near:
                check_shared(address, owner, "this process")
        except StorageError:
            if owner == instance:  # nobody else's work hangs on it
                ray.kill(engine, no_restart=True)
            raise
        return Connection(address, engine)


def _recorded() -> str | None:
    """The root that the cluster uses already, if it is the only one and nobody chose another."""
    if "RAYFLOW_STORAGE" in os.environ:
        return None
    engines = [
        a
        for a in ray.util.list_named_actors(all_namespaces=True)
        if a["namespace"] == NAMESPACE and a["name"].startswith("engine-")
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


def _engine_of(address: str, limits: Limits, instance: str) -> Any:
    """The engine of a root: found, or made as ``instance``."""
    if is_far() or not environment.of_process():
        return make_engine(address, limits, instance)
    name = engine_name(address)
    with suppress(ValueError):  # there is none
        return ray.get_actor(name, namespace=NAMESPACE)
    if apart.start(address, limits, instance):
        return ray.get_actor(name, namespace=NAMESPACE)
    logger.warning(
        "The engine inherits the runtime_env of this program, and so do the workflows of programs "
        "that have none; install RayFlow on every node to keep them apart."
    )
    return make_engine(address, limits, instance)


def engine_name(address: str) -> str:
    """The name of the engine's actor."""
    return f"engine-{hashlib.sha256(name_of(address).encode()).hexdigest()[:16]}"


def make_engine(address: str, limits: Limits, instance: str) -> Any:
    """The engine of a root, which inherits the ``runtime_env`` of this process if it is made now."""
    actor = ray.remote(Engine).options(
        name=engine_name(address),
        namespace=NAMESPACE,
        lifetime="detached",
        get_if_exists=True,
        num_cpus=0,
        max_restarts=-1,
        max_task_retries=-1,
        max_concurrency=_MANY,
    )
    return actor.remote(address, limits, instance)


def _check_limits(connection: Connection, chosen: ChosenLimits) -> None:
    used = connection.call("start")["limits"]
    for name, wanted in (("running", chosen.running), ("pending", chosen.pending)):
        current = -1 if used[name] is None else used[name]
        if wanted is not None and current != wanted:
            raise ValueError(
                f"The cluster's engine has max_{name}_workflows={current} (-1 is unlimited); it cannot "
                f"change to {wanted} while it runs."
            )
