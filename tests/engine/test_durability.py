"""``checkpoint="async"`` and ``effect=True`` on a real Ray, with a storage that can be made to wait."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray

from rayflow import api, workflow
from rayflow.core.records import Kind, Record
from rayflow.storage.journal import Journal
from rayflow.storage.local import LocalStore
from tests.crash.ledger import executions, note
from tests.crash.test_kills import engine_pid, has_run
from tests.engine.gated_store import MODULE, gate
from tests.engine.test_storages import engine_name
from tests.waiting import PATIENCE, until

LARGE = 131_072  # numbers of eight bytes: one mebibyte
SIZES = pytest.mark.parametrize("size", [1, LARGE], ids=["small", "large"])


@pytest.fixture
def gated(cluster: None, tmp_path: Path) -> Iterator[str]:
    """The root of an engine on a store with a gate, which is open."""
    api.disconnect()
    root = str(tmp_path / "root")
    address = f"custom://{MODULE}.factory{root}"
    workflow.init(address)
    yield root
    gate(root).unlink(missing_ok=True)
    api.disconnect()
    ray.kill(ray.get_actor(engine_name(address), namespace="rayflow"), no_restart=True)


@ray.remote
def produce(root: str, ledger: str, size: int) -> Any:
    """Closes the gate the first time, so its own checkpoint has to wait."""
    if not has_run(Path(ledger), "produce"):
        gate(root).touch()
    note(ledger, "produce")
    return np.ones(size)


@ray.remote
def consume(root: str, ledger: str, name: str, values: Any) -> tuple[float, bool]:
    """The sum, and whether the checkpoints were held up when it started."""
    note(ledger, name)
    return float(np.sum(values)), gate(root).exists()


@ray.remote
def both(*parts: tuple[float, bool]) -> list[tuple[float, bool]]:
    return list(parts)


def build(root: str, ledger: Path, size: int) -> Any:
    produced = produce.options(**workflow.options(checkpoint="async", task_id="produce")).bind(
        root, str(ledger), size
    )
    early = consume.options(**workflow.options(task_id="early"))
    effect = consume.options(**workflow.options(task_id="effect", effect=True))
    return both.bind(
        early.bind(root, str(ledger), "early", produced),
        effect.bind(root, str(ledger), "effect", produced),
    )


def outcomes(root: str, workflow_id: str) -> list[Record]:
    records = Journal(LocalStore(root), workflow_id).load()
    return [record for record in records if record.kind == Kind.SUCCEEDED]


@SIZES
def test_a_consumer_starts_while_its_input_is_being_stored_and_an_effect_does_not(
    gated: str, tmp_path: Path, size: int
) -> None:
    ledger = tmp_path / "ledger"
    ref = workflow.run_async(build(gated, ledger, size), workflow_id="early")
    # Given a task whose checkpoint is held up
    until(lambda: has_run(ledger, "early"))
    # Then its consumer runs, and nobody takes the value for durable
    assert outcomes(gated, "early") == []
    assert workflow.get_metadata("early", "produce")["stats"] == {}
    assert not has_run(ledger, "effect")
    # When the storage works again
    gate(gated).unlink()
    # Then what has an effect starts too
    assert ray.get(ref, timeout=PATIENCE) == [(size, True), (size, False)]
    recorded = [record.task_id for record in outcomes(gated, "early")]
    assert recorded[0] == "produce"
    assert max(executions(ledger).values()) == 1


@SIZES
def test_what_was_not_durable_when_the_engine_was_killed_runs_again(
    gated: str, tmp_path: Path, size: int
) -> None:
    ledger = tmp_path / "ledger"
    ref = workflow.run_async(build(gated, ledger, size), workflow_id="killed")
    until(lambda: has_run(ledger, "early"))
    # When the engine dies before anything is durable, and the storage works again
    dead = engine_pid(gated)
    os.kill(dead, signal.SIGKILL)
    until(lambda: engine_pid(gated) != dead)
    assert outcomes(gated, "killed") == []
    gate(gated).unlink()
    # Then the task and its consumer run again
    values = ray.get(ref, timeout=PATIENCE)
    assert [value for value, _ in values] == [size, size]
    counts = executions(ledger)
    assert (counts["produce"], counts["early"], counts["effect"]) == (2, 2, 1)
    tasks = [record.task_id for record in outcomes(gated, "killed")]
    assert sorted(filter(None, tasks)) == sorted({*filter(None, tasks)})


def test_tasks_of_a_continuation_are_checkpointed_like_their_creator(
    gated: str, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"

    @ray.remote
    def expand() -> Any:
        produced = produce.bind(gated, str(ledger), 1)
        return workflow.continuation(consume.bind(gated, str(ledger), "inner", produced))

    @ray.remote
    def after(value: tuple[float, bool]) -> tuple[float, bool]:
        note(str(ledger), "after")
        return value

    node = expand.options(**workflow.options(checkpoint="async")).bind()
    ref = workflow.run_async(after.bind(node), workflow_id="continued")
    until(lambda: has_run(ledger, "after"))
    assert outcomes(gated, "continued") == []
    gate(gated).unlink()
    assert ray.get(ref, timeout=PATIENCE) == (1.0, True)
