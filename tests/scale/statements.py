"""What the statements of a page must never do, whatever the number of rows."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from django.db import connection
from django.test.utils import CaptureQueriesContext

from workflows_app.queries import COUNT_CAP

BIG = ("workflows_app_workflow", "workflows_app_task", "workflows_app_taskattempt",
       "workflows_app_workflowevent")  # fmt: skip

#: Filters and orders of the list of workflows, as parameters of the API.
COMBINATIONS: tuple[dict[str, str], ...] = (
    {},
    {"sort": "created"},
    {"sort": "-finished"},
    {"sort": "duration"},
    {"sort": "-duration"},
    {"sort": "-started"},
    {"status": "FAILED"},
    {"status": "RUNNING,PENDING"},
    {"q": "status:!SUCCESSFUL"},
    {"q": "status:RESUMABLE", "sort": "created"},
    {"definition": "etl_03"},
    {"definition": "etl_03", "status": "FAILED"},
    {"q": "definition:etl*"},
    {"q": "definition:training_01 created:-30d", "sort": "-duration"},
    {"q": "created:-24h"},
    {"q": "created:..-1h", "sort": "created"},
    {"q": "duration:>9m"},
    {"q": "duration:1s..2s", "sort": "duration"},
    {"q": "finished:-1h"},
    {"q": "tag.team:ml"},
    {"q": "id:seed-00001*"},
    {"q": "seed-0000777"},
    {"q": 'created:-7d error:"out of memory"'},
    {"q": "created:-7d meta.customer:42 user:user2"},
    {"q": "nothing-like-this"},
)


def captured(act: Callable[[], Any]) -> tuple[Any, list[str]]:
    """What ``act`` returns, and the statements that it sent."""
    with CaptureQueriesContext(connection) as context:
        result = act()
    return result, [query["sql"] for query in context.captured_queries]


def mistakes(statements: list[str]) -> Iterator[str]:
    """Pages by offset, and counts of tables without a bound."""
    for sql in statements:
        if re.search(r"\bOFFSET\b", sql):
            yield f"OFFSET: {sql}"
        is_bounded = "LIMIT" in sql or re.search(r'"workflow_id" = (\d+|\'[^\']+\')', sql)
        counts = re.search(r"\bCOUNT\(|\bGROUP BY\b", sql)
        if counts and not is_bounded and any(f'FROM "{table}"' in sql for table in BIG):
            yield f"an unbounded count: {sql}"


def scans(statements: list[str]) -> Iterator[str]:
    """Statements for which the database would read a whole large table."""
    for sql in statements:
        if not sql.startswith("SELECT"):
            continue
        for table in _scanned(sql):
            yield f"{table} is read from end to end: {sql}"


def _scanned(sql: str) -> list[str]:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}".replace("%", "%%"))
            plan = cursor.fetchone()[0]
            return list(_sequential(plan if isinstance(plan, list) else json.loads(plan)))
        cursor.execute(f"EXPLAIN QUERY PLAN {sql}".replace("%", "%%"))
        steps = [row[3] for row in cursor.fetchall()]
    return [s for s in steps if s.startswith("SCAN") and s.removeprefix("SCAN ") in BIG]


def _sequential(node: Any, *, is_limited: bool = False) -> Iterator[str]:
    """The large tables that a plan of PostgreSQL reads one row after the other.

    ``is_limited``: not to the end, since whoever asks for its rows wants some only.
    """
    if isinstance(node, list):
        for each in node:
            yield from _sequential(each, is_limited=is_limited)
    elif isinstance(node, dict):
        kind = node.get("Node Type", "")
        is_limited = kind == "Limit" or (is_limited and "Sort" not in kind)
        is_scan = "Seq Scan" in kind and node.get("Relation Name") in BIG
        # Where so many rows match that a limited count finds its number soon, the index would be the detour.
        if is_scan and not (is_limited and node.get("Plan Rows", 0) > COUNT_CAP):
            yield str(node["Relation Name"])
        for each in node.values():
            if isinstance(each, dict | list):
                yield from _sequential(each, is_limited=is_limited)
