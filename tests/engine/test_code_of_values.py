"""Values of classes that are not installed, on their way between tasks and back to the program."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from rayflow import workflow

MODULE = """
import functools, threading
_lock = threading.Lock()

@functools.lru_cache
def factor():
    return 2

class Cargo:
    def __init__(self, data):
        self.data = data

    def weight(self):
        with _lock:
            return factor() * len(self.data)

class SpillError(Exception):
    pass
"""


@pytest.fixture
def cargo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A module that this program can import, and no worker can."""
    (tmp_path / "cargo_of_test.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("cargo_of_test")
    sys.modules.pop("cargo_of_test", None)


@pytest.mark.parametrize("checkpoint", [True, False])
def test_a_large_value_that_is_still_in_memory_keeps_its_class(
    engine: str, cargo: Any, checkpoint: bool
) -> None:
    @ray.remote
    def load(size: int) -> Any:
        return cargo.Cargo(b"x" * size)

    @ray.remote
    def weigh(given: Any, inside: list[Any]) -> Any:
        again = ray.get(inside[0])
        assert isinstance(given, cargo.Cargo)
        assert isinstance(again, cargo.Cargo)
        return given.weight() + again.weight(), given

    loaded = load.options(**workflow.options(checkpoint=checkpoint)).bind(300_000)
    weight, back = workflow.run(weigh.bind(loaded, [loaded]))
    assert weight == 1_200_000
    assert type(back) is cargo.Cargo


def test_a_caught_exception_is_of_the_class_that_the_program_knows(engine: str, cargo: Any) -> None:
    @ray.remote
    def spill() -> None:
        raise cargo.SpillError("all of it")

    caught = spill.options(**workflow.options(catch_exceptions=True))
    _, error = workflow.run(caught.bind())
    with pytest.raises(cargo.SpillError, match="all of it"):
        raise error
