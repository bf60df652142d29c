"""Exceptions and arguments that do not travel: a clear error for the workflow that has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import ray

from rayflow import workflow
from rayflow.errors import TaskLostError

pytestmark = pytest.mark.usefixtures("engine")


class NeedsTwo(Exception):
    """Can be pickled, but not unpickled: the classic mistake of an ``__init__`` with more arguments."""

    def __init__(self, left: str, right: str) -> None:
        super().__init__(f"{left} and {right}")


class Explosive:
    """An argument whose unpickling raises."""

    def __reduce__(self) -> Any:
        return int, ("no number",)


@ray.remote
def one() -> int:
    return 1


@ray.remote
def needs_two() -> None:
    raise NeedsTwo("flour", "water")


@ray.remote(max_retries=0)
def take(value: Any) -> str:
    return repr(value)


def test_an_exception_that_cannot_be_unpickled_is_reported_as_text() -> None:
    with pytest.raises(workflow.WorkflowExecutionError, match="flour and water"):
        workflow.run(needs_two.bind(), workflow_id="needs-two")
    assert workflow.get_status("needs-two") == workflow.FAILED


def test_a_caught_exception_that_cannot_be_unpickled_reaches_the_handler_as_text() -> None:
    @ray.remote
    def handle(pair: tuple[Any, Exception]) -> tuple[str, str]:
        return type(pair[1]).__name__, str(pair[1])

    caught = needs_two.options(**workflow.options(catch_exceptions=True)).bind()
    name, text = workflow.run(handle.bind(caught), workflow_id="handled")
    assert name == TaskLostError.__name__
    assert "flour and water" in text
    assert workflow.get_status("handled") == workflow.SUCCESSFUL


def test_a_huge_message_is_cut_in_the_journal(engine: str) -> None:
    @ray.remote
    def talk() -> None:
        raise ValueError("x" * 20_000_000)

    with pytest.raises(workflow.WorkflowExecutionError, match="xxx"):
        workflow.run(talk.bind(), workflow_id="talks")
    journal = sum(f.stat().st_size for f in Path(engine).glob("workflows/*/talks/journal/*"))
    assert journal < 1_000_000
    assert workflow.get_status("talks") == workflow.FAILED
    assert workflow.run(one.bind()) == 1


def test_an_argument_that_cannot_be_unpickled_concerns_its_workflow_alone() -> None:
    with pytest.raises(workflow.WorkflowExecutionError, match="no number"):
        workflow.run(take.bind([Explosive()]), workflow_id="explodes")
    assert workflow.get_status("explodes") == workflow.RESUMABLE
    assert workflow.run(one.bind()) == 1


def test_a_result_that_cannot_be_unpickled_says_so_and_harms_nobody_else() -> None:
    @ray.remote
    def explosive() -> Any:
        return [Explosive()]

    with pytest.raises(Exception, match="no number"):
        workflow.run(explosive.bind(), workflow_id="returns-explosive")
    assert workflow.run(one.bind()) == 1
