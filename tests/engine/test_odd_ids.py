"""Any string is a workflow id, however odd it looks as a path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import ray

from rayflow import workflow


@ray.remote
def echo(value: Any) -> Any:
    return value


@pytest.mark.parametrize(
    "odd", ["a/b", "..", ".", "/", "__status__", "ünïcødé ☃", "per%2Fcent", "x" * 300, "new\nline"]
)
def test_an_odd_id_works_like_any_other(engine: str, odd: str) -> None:
    assert workflow.run(echo.bind(odd), workflow_id=odd) == odd
    assert workflow.get_status(odd) == workflow.SUCCESSFUL
    assert workflow.get_output(odd) == odd
    assert odd in dict(workflow.list_all())
    workflow.delete(odd)
    assert odd not in dict(workflow.list_all())
    assert {path.name for path in Path(engine).iterdir()} <= {
        "workflows",
        "index",
        "functions",
        "check",
        "redo",
    }
