"""DBOS: workflows of steps, checkpointed in SQLite or PostgreSQL."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from common import TOGETHER, Sizes, measured
from dbos import DBOS


@DBOS.step()
async def nothing(number: int) -> int:
    return number


@DBOS.workflow()
async def wide(size: int) -> int:
    return len(await asyncio.gather(*[nothing(n) for n in range(size)]))


@DBOS.workflow()
async def long(length: int) -> int:
    value = 0
    for _ in range(length):
        value = await nothing(value) + 1
    return value


@DBOS.workflow()
async def single(number: int) -> int:
    return await nothing(number)


async def many(number: int) -> None:
    places = asyncio.Semaphore(TOGETHER)

    async def submit(place: int) -> Any:
        async with places:
            return await DBOS.start_workflow_async(single, place)

    handles = await asyncio.gather(*[submit(place) for place in range(number)])
    await asyncio.gather(*[handle.get_result() for handle in handles])


def main(sizes: Sizes, folder: str) -> dict[str, float]:
    url = os.environ.get("BENCH_DATABASE") or f"sqlite:///{folder}/dbos.sqlite"
    DBOS(config={"name": "bench", "system_database_url": url, "log_level": "ERROR"})
    DBOS.launch()
    loop = asyncio.new_event_loop()
    loop.run_until_complete(wide(20))
    try:
        return sizes.measure(
            lambda size: loop.run_until_complete(wide(size)),
            lambda length: loop.run_until_complete(long(length)),
            lambda number: loop.run_until_complete(many(number)),
        )
    finally:
        DBOS.destroy()


measured(main)
