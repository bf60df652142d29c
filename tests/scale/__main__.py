"""``python -m tests.scale``: pages and API at full size, measured. ``make scale`` calls it.

It fills an empty database (DATABASE_URL; default a SQLite file of its own, and with --postgresql a server of
its own) and asks for the first and the 500th page of every combination of filters and orders. Printed are
the median, the 95th percentile and the time of the first request, in milliseconds.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

from tests.postgresql import postgresql

PAGE = 500
LIMIT = 50
TARGETS_MS = {"sqlite": 300.0, "postgresql": 400.0}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--postgresql", action="store_true", help="measure on PostgreSQL")
    parser.add_argument("--workflows", type=int, help="default 100,000, on PostgreSQL 1,000,000")
    parser.add_argument("--large", type=int, default=100_000, help="tasks of the largest workflow")
    parser.add_argument("--requests", type=int, default=40, help="for each number")
    chosen = parser.parse_args()
    workflows = chosen.workflows or (1_000_000 if chosen.postgresql else 100_000)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="rf-scale-"))
        url = f"sqlite:///{folder}/registry.sqlite3"
        if chosen.postgresql:
            url = stack.enter_context(postgresql()).address
        os.environ |= {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "tests.settings"}
        import django

        django.setup()
        logging.disable(logging.WARNING)
        return Measurement(chosen.requests).run(workflows, chosen.large)


class Measurement:
    """Fills the database, asks, prints a table; remembers what missed its target."""

    def __init__(self, requests: int) -> None:
        self._requests = requests
        self._missed: list[str] = []

    def run(self, workflows: int, large: int) -> int:
        from django.core.management import call_command
        from django.db import connection

        begun = time.monotonic()
        call_command("migrate", verbosity=0)
        call_command("seed_registry", workflows=workflows, large=large)
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("VACUUM ANALYZE")
        print(
            f"{connection.vendor}, {workflows:,} workflows, made in {time.monotonic() - begun:.0f} s"
        )
        self._target = TARGETS_MS[connection.vendor]
        self._client = self._signed_in()
        self._lists()
        self._pages()
        for line in self._missed:
            print(f"MISSED {line}")
        print(f"{len(self._missed)} targets missed, {time.monotonic() - begun:.0f} s")
        return 1 if self._missed else 0

    def _signed_in(self) -> Any:
        from django.conf import settings
        from django.contrib.auth.models import User
        from django.test import Client
        from rest_framework.throttling import SimpleRateThrottle

        settings.ALLOWED_HOSTS = ["testserver"]
        SimpleRateThrottle.allow_request = lambda *_: True  # type: ignore[method-assign]
        client = Client()
        client.force_login(User.objects.create_superuser("scale"))
        return client

    def _lists(self) -> None:
        from tests.scale.statements import COMBINATIONS

        for parameters in COMBINATIONS:
            query = {**parameters, "limit": str(LIMIT)}
            first = self._measured(f"list {parameters}", "/api/v1/workflows/", query)
            number, cursor = self._walk(query)
            if cursor is None:
                continue
            name = f"list {parameters}, page {number}"
            last = self._measured(name, "/api/v1/workflows/", {**query, "cursor": cursor})
            if number == PAGE and last > 1.5 * first and last > 20:
                self._missed.append(f"{name}: {last:.0f} ms, page 1 in {first:.0f} ms")

    def _walk(self, query: dict[str, str]) -> tuple[int, str | None]:
        """The last page, or page 500, and the cursor that leads there."""
        cursor: str | None = None
        for number in range(1, PAGE + 1):
            here = {**query, "cursor": cursor} if cursor else query
            following = self._get("/api/v1/workflows/", here).json()["page"]["next"]
            if following is None or number == PAGE:
                return number, cursor
            cursor = following
        raise AssertionError("unreachable")

    def _pages(self) -> None:
        for path in ("/", "/workflows/", "/workflows/?q=status:FAILED", "/workflows/seed-large/",
                     "/workflows/seed-large/tasks/", "/workflows/seed-large/events/",
                     "/workflows/seed-large/graph/", "/workflows/seed-large/timeline/",
                     "/admin/workflows_app/workflow/"):  # fmt: skip
            self._measured(f"page {path}", path, {})

    def _measured(self, name: str, path: str, query: dict[str, str]) -> float:
        """The 95th percentile of the time for an answer, in milliseconds."""
        from tests.scale.statements import captured, mistakes, scans

        begun = time.perf_counter()
        _, statements = captured(lambda: self._get(path, query))
        cold = (time.perf_counter() - begun) * 1000
        self._missed += [f"{name}: {what}" for what in (*mistakes(statements), *scans(statements))]
        times = [self._timed(lambda: self._get(path, query)) for _ in range(self._requests)]
        p50, p95 = statistics.median(times), statistics.quantiles(times, n=20)[-1]
        print(
            f"{p50:7.1f} {p95:7.1f} {cold:7.0f} ms {len(statements):3d} statements  {name}",
            flush=True,
        )
        if p95 > self._target:
            self._missed.append(
                f"{name}: {p95:.0f} ms at the 95th percentile, not {self._target:.0f}"
            )
        return p95

    def _get(self, path: str, query: dict[str, str]) -> Any:
        answer = self._client.get(path, query)
        assert answer.status_code == 200, (path, query, answer.content[:500])
        return answer

    def _timed(self, act: Callable[[], Any]) -> float:
        begun = time.perf_counter()
        act()
        return (time.perf_counter() - begun) * 1000


if __name__ == "__main__":
    sys.exit(main())
