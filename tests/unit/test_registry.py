"""The engine's view of the index, on a storage that fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rayflow.core.records import WorkflowStatus
from rayflow.runtime import registry
from rayflow.runtime.registry import Registry
from rayflow.testing.flaky_store import FlakyStore, Trouble
from rayflow.testing.memory_store import MemoryStore

FAILED = WorkflowStatus.FAILED


async def at_once(work: Callable[[], Any]) -> Any:
    return work()


async def registry_that(trouble: Callable[[str], Trouble], inner: MemoryStore) -> Registry:
    made = Registry(FlakyStore(inner, trouble), "i", at_once)
    await made.take_over()
    await made.put("w", WorkflowStatus.RUNNING)
    return made


async def test_an_end_that_the_journal_knows_survives_a_storage_that_fails_now_and_then() -> None:
    troubles: list[Trouble] = []
    inner = MemoryStore()
    made = await registry_that(lambda operation: troubles.pop() if troubles else "", inner)
    troubles += ["before", "after"]
    await made.follow("w", FAILED, None)
    assert made.entry("w").status == FAILED
    assert registry.Index(inner).read()["w"].status == FAILED


async def test_an_end_that_the_journal_knows_counts_though_the_index_cannot_be_written() -> None:
    is_broken = False
    inner = MemoryStore()
    made = await registry_that(lambda operation: "before" if is_broken else "", inner)
    is_broken = True
    await made.follow("w", FAILED, None)
    assert made.entry("w").status == FAILED
    assert registry.Index(inner).read()["w"].status == WorkflowStatus.RUNNING
