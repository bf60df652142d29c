"""Options of tasks, limits of the engine: refused at the door, with a sentence."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import cloudpickle
import pytest
import ray

from rayflow import workflow
from rayflow.config import DEFAULT_STORAGE, ChosenLimits, Limits, default_storage
from rayflow.options import check_metadata, options
from rayflow.runtime import nodes


def f(x: int = 0) -> int:
    return x


def ours(remote: Any) -> dict[str, Any]:
    assert not ray.is_initialized()
    return nodes.call_of(remote.bind()).options


def test_an_unknown_option_is_refused_with_those_that_exist() -> None:
    with pytest.raises(ValueError, match=r"num_retries.*task_id, metadata"):
        options(num_retries=3)


@pytest.mark.parametrize("metadata", [[], "x", {"a": object()}, {"a": {1, 2}}, {("a",): 1}, 5])
def test_metadata_that_is_not_json_is_refused(metadata: Any) -> None:
    with pytest.raises(ValueError, match="metadata"):
        options(metadata=metadata)


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_numbers_that_json_has_not_are_refused_in_metadata(number: float) -> None:
    with pytest.raises(ValueError, match="metadata"):
        check_metadata({"deep": [number]})


def test_endless_metadata_is_refused() -> None:
    metadata: dict[str, Any] = {}
    metadata["self"] = metadata
    with pytest.raises(ValueError, match="metadata"):
        check_metadata(metadata)


def test_metadata_is_a_copy_of_its_own() -> None:
    given = {"a": [1]}
    kept = check_metadata(given)
    given["a"].append(2)
    assert kept == {"a": [1]}
    assert check_metadata(None) == {}


@pytest.mark.parametrize(
    "bad",
    [
        {"task_id": ""}, {"task_id": 5}, {"task_id": "\ud800"}, {"catch_exceptions": 1}, {"checkpoint": "no"},
        {"checkpoint": 1}, {"effect": "yes"},
    ],
    ids=str,
)  # fmt: skip
def test_a_bad_value_is_refused_with_its_name(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        options(**bad)


def test_a_bad_checkpoint_is_refused_with_the_three_that_there_are() -> None:
    with pytest.raises(ValueError, match="True, 'async' or False"):
        options(checkpoint="sync")


CHOSEN: dict[str, Any] = {"task_id": "fit", "metadata": {"a": 1}, "catch_exceptions": True}


def test_all_three_spellings_give_a_task_the_same_options() -> None:
    decorated = workflow.options(**CHOSEN)(ray.remote(f))
    with_keywords = ray.remote(**workflow.options(**CHOSEN))(f)  # type: ignore[call-overload]
    with_options = ray.remote(f).options(**workflow.options(**CHOSEN))
    assert ours(with_keywords) == ours(with_options) == CHOSEN
    assert ours(decorated) == CHOSEN


def test_the_options_are_a_mapping() -> None:
    chosen = workflow.options(task_id="x", checkpoint=False)
    assert dict(chosen) == {key: chosen[key] for key in chosen.keys()}  # noqa: SIM118
    assert len(chosen) == 2
    assert ours(ray.remote(f).options(**dict(chosen))) == {"task_id": "x", "checkpoint": False}


def test_a_later_option_replaces_that_one_and_the_others_stay() -> None:
    remote = ray.remote(num_cpus=2, max_retries=5)(f)
    remote = workflow.options(task_id="first", metadata={"a": 1}, checkpoint=False)(remote)
    changed = remote.options(num_cpus=3, **workflow.options(task_id="second", metadata={"b": 2}))
    call = nodes.call_of(changed.bind())
    assert call.options == {"task_id": "second", "metadata": {"b": 2}, "checkpoint": False}
    assert (call.ray_options["num_cpus"], call.ray_options["max_retries"]) == (3, 5)
    assert ours(remote)["task_id"] == "first"


def test_ray_remote_goes_before_the_decorator_and_options_before_both() -> None:
    declared = ray.remote(**workflow.options(task_id="declared", checkpoint=False))(f)  # type: ignore[call-overload]
    remote = workflow.options(task_id="decorated", metadata={"a": 1})(declared)
    assert ours(remote) == {"task_id": "declared", "metadata": {"a": 1}, "checkpoint": False}
    assert ours(remote.options(**workflow.options(task_id="last")))["task_id"] == "last"


def test_none_takes_an_option_back() -> None:
    remote = workflow.options(catch_exceptions=True)(ray.remote(f))
    assert ours(remote.options(**workflow.options(catch_exceptions=None))) == {
        "catch_exceptions": None
    }


def test_of_two_decorators_the_outer_one_wins_entirely() -> None:
    inner = workflow.options(task_id="inner", checkpoint=False)(ray.remote(f))
    assert ours(workflow.options(task_id="outer")(inner)) == {"task_id": "outer"}


def test_a_decorator_changes_no_other_remote_function_of_the_same_function() -> None:
    before, node = ray.remote(f), ray.remote(f).bind()
    workflow.options(task_id="x")(ray.remote(f))
    assert ours(before) == nodes.call_of(node).options == ours(ray.remote(f)) == {}


def test_options_decorate_remote_functions_only() -> None:
    @ray.remote
    class Counter: ...

    for thing in (f, Counter, ray.remote(f).options(num_cpus=1)):
        with pytest.raises(ValueError, match=r"@ray\.remote"):
            workflow.options(task_id="x")(thing)
    with pytest.raises(ValueError, match="actors"):
        ray.remote(**workflow.options(task_id="x"))(type("Counter", (), {}))  # type: ignore[call-overload]


def test_labels_and_selectors_of_the_user_are_left_alone() -> None:
    labels, selector = {"team": "ml"}, {"zone": "a"}
    remote = ray.remote(_labels=labels, label_selector=selector)(f)
    call = nodes.call_of(remote.options(**workflow.options(task_id="x")).bind())
    assert call.ray_options == {"_labels": labels, "label_selector": selector}
    assert call.options == {"task_id": "x"}


FRESH_PROCESS = """
import pickle, sys
remote, node_options = pickle.load(sys.stdin.buffer)
changed = remote.options(num_cpus=3).bind(1)
from ray.dag import FunctionNode
assert FunctionNode(remote._function, (), {}, node_options) is not None
remote.options(**node_options)
from rayflow.runtime import nodes
print(nodes.call_of(changed).options["task_id"], nodes.call_of(changed).options["retry"].max_attempts)
"""


def test_a_function_with_options_works_in_a_process_that_has_never_seen_rayflow() -> None:
    chosen = workflow.options(task_id="x", retry=workflow.Retry(max_attempts=7))
    remote = chosen(ray.remote(lambda x: x))
    pickled = cloudpickle.dumps((remote, dict(chosen)))
    fresh = subprocess.run(
        [sys.executable, "-c", FRESH_PROCESS], input=pickled, capture_output=True, check=False
    )
    assert fresh.stdout.split() == [b"x", b"7"], fresh.stderr.decode()


OTHER_RAY = """
import ray._common.ray_option_utils as tables
del tables.task_options
from rayflow import workflow
"""


def test_a_ray_without_the_table_of_options_is_named_at_import() -> None:
    found = subprocess.run([sys.executable, "-c", OTHER_RAY], capture_output=True, check=False)
    last = found.stderr.decode().strip().splitlines()[-1]
    assert last.startswith("ImportError: This version of Ray has no")


@pytest.mark.parametrize(
    ("running", "pending", "limits"),
    [
        (None, None, Limits(None, None)), (-1, -1, Limits(None, None)),
        (1, 0, Limits(1, 0)), (5, 10, Limits(5, 10)),
    ],
)  # fmt: skip
def test_limits_as_init_takes_them(running: Any, pending: Any, limits: Limits) -> None:
    assert ChosenLimits.parse(running, pending).limits == limits


@pytest.mark.parametrize(
    ("running", "pending", "kind", "text"),
    [
        (0, None, ValueError, "max_running_workflows.*at least 1, not 0"),
        (-2, None, ValueError, "max_running_workflows"),
        (None, -2, ValueError, "max_pending_workflows.*at least 0, not -2"),
        ("1", None, TypeError, "max_running_workflows.*str"),
        (None, 1.5, TypeError, "max_pending_workflows.*float"),
        (True, None, TypeError, "max_running_workflows.*bool"),
    ],
)
def test_bad_limits_are_named(running: Any, pending: Any, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        ChosenLimits.parse(running, pending)


def test_the_storage_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAYFLOW_STORAGE", raising=False)
    assert default_storage() == DEFAULT_STORAGE
    monkeypatch.setenv("RAYFLOW_STORAGE", "s3://bucket/path")
    assert default_storage() == "s3://bucket/path"
    monkeypatch.setenv("RAYFLOW_STORAGE", "  ")
    with pytest.raises(ValueError, match="RAYFLOW_STORAGE"):
        default_storage()
