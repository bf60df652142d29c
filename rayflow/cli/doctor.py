"""`rayflow doctor`: what is wrong with an installation, and what to do about it."""

from __future__ import annotations

import importlib.metadata
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import typer
from rich.console import Console
from rich.text import Text

from rayflow.cli.client import connect
from rayflow.cli.common import HERE, DataDir, Url
from rayflow.cli.errors import CommandError
from rayflow.cli.instance import DataFolder

app = typer.Typer()

SKEW_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    is_well: bool
    detail: str


@app.command("doctor")
def doctor(url: Url = None, data_dir: DataDir = HERE) -> None:
    """Look at an installation part by part; exit status 1 if something is wrong."""
    console, is_well = Console(), True
    for finding in _findings(url, DataFolder.named(data_dir)):
        mark = Text("ok   ", style="green") if finding.is_well else Text("wrong", style="bold red")
        console.print(mark, Text(f" {finding.what}: {finding.detail}"), sep="")
        is_well &= finding.is_well
    if not is_well:
        raise typer.Exit(1)


def _findings(url: str | None, data: DataFolder) -> Iterator[Finding]:
    version = importlib.metadata.version("rayflow")
    yield Finding("this program", True, f"RayFlow {version}, Python {platform.python_version()}")
    try:
        client = connect(url, data)
    except CommandError as error:
        yield Finding("address and token", False, error.message)
        return
    yield Finding("address and token", True, client.url)
    answers = _Answers(client.url)
    for look in (answers.server, answers.clock, answers.parts):
        yield look()
        if not answers.is_there:
            return
    yield from _asked(lambda: client.get("me/"), "account", lambda me: _account(me))
    yield from _asked(lambda: client.get("cluster/"), "cluster", None)


class _Answers:
    """What a server says without an account."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.is_there = True
        self._health: httpx.Response | None = None

    def server(self) -> Finding:
        try:
            self._health = httpx.get(f"{self._url}/healthz", timeout=10)
        except httpx.HTTPError as error:
            self.is_there = False
            hint = "start it with `rayflow up`, or correct RAYFLOW_URL"
            return Finding("web server", False, f"nothing answers ({error}); {hint}")
        return Finding("web server", self._health.is_success, f"answers {self._health.status_code}")

    def clock(self) -> Finding:
        assert self._health is not None
        sent = self._health.headers.get("Date")
        if not sent:
            return Finding("clock", True, "the server does not tell its time")
        apart = abs(parsedate_to_datetime(sent).timestamp() - time.time())
        hint = "" if apart <= SKEW_SECONDS else "; set both machines' clocks, by NTP"
        return Finding("clock", not hint, f"{apart:.0f} s apart from the server's{hint}")

    def parts(self) -> Finding:
        try:
            checks = httpx.get(f"{self._url}/readyz", timeout=10).json()["checks"]
        except (httpx.HTTPError, ValueError, KeyError) as error:
            return Finding("database and Redis", False, f"/readyz gives no answer ({error})")
        broken = [f"{name} ({outcome})" for name, outcome in checks.items() if outcome != "ok"]
        if broken:
            return Finding("database and Redis", False, f"no answer from {', '.join(broken)}")
        return Finding("database and Redis", True, ", ".join(checks))


def _asked(
    ask: Callable[[], Any], what: str, describe: Callable[[Any], Finding] | None
) -> Iterator[Finding]:
    try:
        found = ask()
    except CommandError as error:
        yield Finding(what, False, error.message)
        return
    if describe is not None:
        yield describe(found)
    else:
        yield from _cluster(found)


def _account(me: dict[str, Any]) -> Finding:
    scope = me["token"]["scope"] if me["token"] else "session"
    return Finding("account", True, f"{me['username']}, token for {scope}")


def _cluster(found: dict[str, Any]) -> Iterator[Finding]:
    follower, engine = found["follower"], found["engine"]
    if follower["alive"]:
        yield Finding("follower", True, f"reported {follower['age_seconds']:.0f} s ago")
    else:
        age = follower["age_seconds"]
        since = "has never reported" if age is None else f"was last heard {age:.0f} s ago"
        hint = "pages show old data; start `manage.py follow`"
        yield Finding("follower", False, f"{since}; {hint}")
    if engine["reachable"]:
        yield Finding("engine on Ray", True, "answers")
    else:
        detail = engine["detail"] or "unknown while the follower does not report"
        yield Finding("engine on Ray", False, f"{detail}; look at the Ray cluster and RAY_ADDRESS")
    if found["worker"]["alive"]:
        yield Finding("Celery worker and beat", True, "carry out commands")
    else:
        hint = (
            "commands wait; start `celery -A rayflow_web worker` and `celery -A rayflow_web beat`"
        )
        yield Finding(
            "Celery worker and beat", False, f"last seen {found['worker']['swept_at']}; {hint}"
        )
    here = importlib.metadata.version("rayflow")
    hint = "" if found["version"] == here else f", this program is {here}: install the same version"
    yield Finding("version", not hint, f"the server is {found['version']}{hint}")
