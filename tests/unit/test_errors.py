"""Every error says what happened, in the same words in every process."""

from __future__ import annotations

import inspect
import pickle
import re
from collections.abc import Iterator
from typing import Any

import pytest

import rayflow.workflow
from rayflow import errors
from rayflow.errors import WorkflowError

ARGUMENTS: dict[str, Any] = {
    "workflow_id": "w {0} ü",
    "error": {"type": "ValueError", "message": "no.", "traceback": "Trace\n", "task_id": "t"},
    "detail": "More.",
    "call": "incr_1",
    "kind": "ValueError",
    "message": "no",
    "traceback": "Trace\n",
    "name": "training",
    "child_id": "w.t.1",
    "status": "FAILED",
    "known": ("a", "b"),
    "task_id": "t {0} ü",
    "attempt": 2,
    "seconds": 0.5,
    "by": "ann",
    "assignees": ("bob", "eve"),
    "errors": [{"pointer": "/folds", "detail": "too many"}],
}


def subclasses(kind: type[WorkflowError]) -> Iterator[type[WorkflowError]]:
    for below in kind.__subclasses__():
        yield below
        yield from subclasses(below)


FOUND = sorted({WorkflowError, *subclasses(WorkflowError)}, key=lambda kind: kind.__name__)


def made(kind: type[WorkflowError]) -> WorkflowError:
    parameters = [
        p
        for p in inspect.signature(kind.__init__).parameters.values()
        if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD and p.name != "self"
    ]
    return kind(*[ARGUMENTS[p.name] for p in parameters]) if parameters else kind("What happened.")


@pytest.mark.parametrize("kind", FOUND, ids=lambda kind: kind.__name__)
def test_an_error_is_the_same_after_a_journey_between_processes(kind: type[WorkflowError]) -> None:
    error = made(kind)
    error.add_note("a note")
    found = pickle.loads(pickle.dumps(error))
    assert type(found) is kind
    assert str(found) == str(error)
    assert (found.args, found.__dict__) == (error.args, error.__dict__)
    assert str(error)


@pytest.mark.parametrize("kind", FOUND, ids=lambda kind: kind.__name__)
def test_an_error_says_when_it_is_raised(kind: type[WorkflowError]) -> None:
    assert (kind.__doc__ or "").strip()


def test_the_tree_in_the_documentation_is_the_tree() -> None:
    lines = re.findall(r"^ {4}([│ ]*(?:[├└]── )?)(\w+)", errors.__doc__ or "", re.MULTILINE)
    path: list[str] = []
    drawn: dict[str, str] = {}
    for indent, name in lines:
        depth = len(indent) // 4
        path = [*path[:depth], name]
        drawn[name] = path[depth - 1] if depth else "Exception"
    public = [k for k in FOUND if k.__module__ == "rayflow.errors" and k.__name__[0] != "_"]
    real = {}
    for kind in public:
        parents = [p.__name__ for p in kind.__mro__[1:] if p.__name__[0] != "_"]
        real[kind.__name__] = parents[0]
    assert drawn == real


@pytest.mark.parametrize(
    ("kind", "also"),
    [
        ("WorkflowRunningError", RuntimeError), ("WorkflowExistsError", ValueError),
        ("InvalidWorkflowIdError", ValueError), ("InvalidWorkflowIdError", TypeError),
        ("OutputNotAvailableError", ValueError), ("SerializationError", TypeError),
        ("UnknownDefinitionError", KeyError), ("InvalidParametersError", ValueError),
    ],
)  # fmt: skip
def test_errors_are_also_what_old_programs_catch(kind: str, also: type[Exception]) -> None:
    assert issubclass(getattr(errors, kind), also)


def test_messages_name_the_workflow_the_task_and_what_to_do() -> None:
    text = str(made(errors.WorkflowExecutionError))
    for part in ("w {0} ü", "'t'", "ValueError: no", "workflow.resume('w {0} ü')", "Trace"):
        assert part in text
    assert "no details" in str(errors.WorkflowExecutionError("w"))
    assert "training" in str(made(errors.UnknownDefinitionError))
    assert "/folds: too many" in str(made(errors.InvalidParametersError))


def test_the_public_names_are_the_list_and_nothing_else() -> None:
    names = {n for n in vars(rayflow.workflow) if not n.startswith("_") and n != "annotations"}
    assert names == set(rayflow.workflow.__all__)
    assert len(rayflow.workflow.__all__) == len(set(rayflow.workflow.__all__))
    assert rayflow.__all__ == ["workflow"]
