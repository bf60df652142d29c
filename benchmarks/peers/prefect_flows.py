"""Prefect: flows of tasks whose results are kept, with the server that it starts by itself."""

from __future__ import annotations

import os
import tempfile
from concurrent.futures import ThreadPoolExecutor

os.environ.setdefault("PREFECT_HOME", tempfile.mkdtemp(prefix="rf-bench-prefect-"))
os.environ.setdefault("PREFECT_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "180")

from common import TOGETHER, Sizes, measured
from prefect import flow, task


@task(persist_result=True)
def nothing(number: int) -> int:
    return number


@flow
def wide(size: int) -> int:
    return len(nothing.map(list(range(size))).result())


@flow
def long(length: int) -> int:
    value = 0
    for _ in range(length):
        value = nothing(value) + 1
    return value


@flow
def single(number: int) -> int:
    return int(nothing(number))


def many(number: int) -> None:
    with ThreadPoolExecutor(TOGETHER) as pool:
        list(pool.map(single, range(number)))


def main(sizes: Sizes, folder: str) -> dict[str, float]:
    wide(5)
    return sizes.measure(wide, long, many)


measured(main)
