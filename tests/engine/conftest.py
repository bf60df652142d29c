"""A real local Ray for the session, with an engine on a root of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray

from rayflow import api, workflow
from rayflow.runtime.peers import engine_name
from rayflow.storage.partition import count_of
from rayflow.storage.root import open_store
from tests.cluster import local_ray
from tests.engine.actors import Counter
from tests.waiting import until


@pytest.fixture(scope="session")
def cluster() -> Iterator[None]:
    """A Ray head of this session's own, with four CPUs."""
    with local_ray(num_cpus=4):
        yield


@pytest.fixture(scope="session")
def session_root(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The storage root that most tests share: engines take a second to start."""
    return str(tmp_path_factory.mktemp("root"))


@pytest.fixture
def engine(session_root: str) -> Iterator[str]:
    """Connect to the engine of the shared root; returns its path. What has ended is deleted then."""
    workflow.init(session_root)
    yield session_root
    api.disconnect()
    workflow.init(session_root)
    forget_what_has_ended()
    api.disconnect()


def forget_what_has_ended() -> None:
    """So that every test finds its workflow ids free."""
    for workflow_id, status in workflow.list_all():
        if status not in (workflow.RUNNING, workflow.PENDING):
            with contextlib.suppress(workflow.exceptions.WorkflowError, ValueError):
                workflow.delete(workflow_id)


@pytest.fixture
def counter(engine: str) -> Iterator[Any]:
    """A virtual actor with the id "counter" that has counted to 10."""
    actor = Counter.get_or_create("counter", 10)
    ray.get(actor.ready())
    yield actor
    if dict(workflow.list_all()).get("counter") == workflow.RUNNING:
        workflow.cancel("counter")


@pytest.fixture
def own_engine(cluster: None, tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Start an engine on a fresh root with the options of ``workflow.init``; returns the path."""
    roots = []

    def start(name: str = "root", **options: Any) -> str:
        api.disconnect()
        root = str(tmp_path / name)
        workflow.init(root, **options)
        roots.append(root)
        return root

    yield start
    api.disconnect()
    for root in set(roots):
        with contextlib.suppress(ValueError):  # the test has stopped it
            stop_engine(root)


def stop_engine(root: str) -> None:
    """Kill the engines of ``root`` for good, and wait until they are gone; the next connection starts others.

    The call of Ray comes back before the process has ended, which may still record what it hears.
    """
    api.disconnect()
    for number in reversed(range(count_of(open_store(root)))):
        engine = ray.get_actor(engine_name(root, number), namespace="rayflow")
        pid: int = ray._private.state.actors(engine._actor_id.hex())["Pid"]
        ray.kill(engine, no_restart=True)
        until(lambda pid=pid: not psutil.pid_exists(pid))  # type: ignore[misc]
