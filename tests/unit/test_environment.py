"""What is made of a ``runtime_env`` without Ray."""

from __future__ import annotations

from rayflow.runtime import environment

OUTER = {"working_dir": "gcs://a.zip", "pip": ["x"], "env_vars": {"A": "1", "B": "1"}}


def test_a_tasks_own_environment_lies_over_that_of_its_workflow() -> None:
    inner = {"working_dir": "gcs://b.zip", "env_vars": {"B": "2"}}
    assert environment.merged(OUTER, inner) == {
        "working_dir": "gcs://b.zip",
        "pip": ["x"],
        "env_vars": {"A": "1", "B": "2"},
    }


def test_without_any_environment_there_is_none() -> None:
    assert environment.merged(None, None) == {}


def test_the_packages_of_a_cluster_are_those_with_its_own_addresses() -> None:
    modules = {"py_modules": ["gcs://m.zip", "s3://bucket/n.zip"]}
    assert list(environment.uris([OUTER, None, modules])) == ["gcs://a.zip", "gcs://m.zip"]


def test_values_of_variables_are_not_shown() -> None:
    shown = environment.without_secrets({"num_cpus": 1, "runtime_env": OUTER})
    assert shown["runtime_env"]["env_vars"] == {"A": "***", "B": "***"}
    assert shown["num_cpus"] == 1
    assert environment.without_secrets({"num_cpus": 1}) == {"num_cpus": 1}
