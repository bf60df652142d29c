"""The first generation of workflows: steps, and the lazy ``Workflow`` objects that calling one gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from rayflow import api
from rayflow.core.ids import task_name
from rayflow.core.waits import WaitKind
from rayflow.options import check_metadata, check_seconds
from rayflow.runtime import nodes
from rayflow.runtime.nodes import Call, DagStep, StepNode

_OURS = ("name", "metadata", "max_retries", "catch_exceptions", "allow_inplace", "checkpoint")
_ANONYMOUS = "__anonymous_func__"


T = TypeVar("T")


class Workflow(StepNode, Generic[T]):
    """A workflow that has not been run: a step with its arguments, which may hold other workflows.

    Source: seed 001, "Core API"; ``ray-workflows`` 2.4.
    """

    def __init__(self, call: Call, is_inplace: bool = False) -> None:
        super().__init__(call)
        self.is_inplace = is_inplace

    @property
    def _name(self) -> str:
        return str(self.call.options["task_id"])

    def run(self, workflow_id: str | None = None, metadata: dict[str, Any] | None = None) -> Any:
        """Run the workflow and return its value; a known id is resumed. See :func:`rayflow.api.run`."""
        return api.run(self, workflow_id=workflow_id, metadata=metadata)

    def run_async(
        self, workflow_id: str | None = None, metadata: dict[str, Any] | None = None
    ) -> Any:
        """Like :meth:`run`, but returns an ``ObjectRef``. See :func:`rayflow.api.run_async`."""
        return api.run_async(self, workflow_id=workflow_id, metadata=metadata)

    def __repr__(self) -> str:
        return f"<Workflow of step {self._name}>"


class Step:
    """A function whose calls are tasks of a workflow; made by :func:`step`."""

    def __init__(self, function: Callable[..., Any], options: Mapping[str, Any]) -> None:
        if not callable(function):
            raise ValueError(f"workflow.step decorates a function, not {function!r:.100}.")
        self._function, self._options = function, dict(options)
        self.__doc__ = function.__doc__

    def step(self, *args: Any, **kwargs: Any) -> Workflow[Any]:
        """A workflow that calls the function. Workflows anywhere in the arguments arrive as their values.

        Raises:
            TypeError: the arguments do not fit the function.
        """
        nodes.check_signature(self._function, args, kwargs)
        ours, rays = divided(self._options)
        if rays.get("num_returns") not in (None, 1):
            raise ValueError("A step returns one value; return a tuple instead of num_returns.")
        retries = ours.get("max_retries", 3)
        options = {
            "task_id": ours.get("name") or _name_of(self._function),
            "metadata": ours.get("metadata"),
            "catch_exceptions": ours.get("catch_exceptions"),
            "checkpoint": ours.get("checkpoint"),
        }
        rays |= {"max_retries": retries, "retry_exceptions": bool(retries)}
        call = Call(self._function, args, kwargs, rays, options)
        return Workflow(call, is_inplace=bool(ours.get("allow_inplace")))

    def options(self, **changed: Any) -> Step:
        """The step with other options. ``metadata`` is merged key by key, Ray's options one by one.

        Raises:
            ValueError: an option that makes no sense.
        """
        checked = checked_options(changed)
        if checked.get("metadata") is not None:
            checked["metadata"] = {**(self._options.get("metadata") or {}), **checked["metadata"]}
        given = {k: v for k, v in checked.items() if v is not None}
        return Step(self._function, {**self._options, **given})

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(
            f"A step is not called directly: {_name_of(self._function)}.step(...) makes a workflow of it."
        )


def step(*args: Any, **kwargs: Any) -> Any:
    """Make a step of a function: ``@workflow.step`` or ``@workflow.step(name=..., ...)``.

    Args:
        name: what its tasks are called; default the module and name of the function.
        metadata: a JSON-serialisable dict, kept with each of its tasks.
        max_retries: how often a task is tried again when it raises or its process dies; default 3, -1
            for ever.
        catch_exceptions: the value becomes ``(value, None)`` or ``(None, exception)``.
        allow_inplace: it may run in the process of the step that continues as it; Ray's options are
            ignored there.
        checkpoint: whether the value is stored; default True.
        **kwargs: Ray's options of the task.

    Raises:
        ValueError: an option that makes no sense, or something else than one function.

    Source: seed 001, "Core API"; ``ray-workflows`` 2.3.
    """
    if len(args) == 1 and callable(args[0]) and not kwargs:
        return Step(args[0], {})
    if args:
        raise ValueError(
            "workflow.step decorates one function, or takes options by name: @workflow.step(max_retries=3)."
        )
    options = checked_options(kwargs)
    return lambda function: Step(function, options)


def create(dag: Any, *args: Any, **kwargs: Any) -> Workflow[Any]:
    """Make a :class:`Workflow` of a Ray DAG; the arguments are for its ``InputNode``.

    Raises:
        TypeError: ``dag`` is no DAG made with ``.bind()``.
    """
    if not nodes.is_node(dag) or nodes.is_step(dag):
        raise TypeError(f"workflow.create takes a DAG made with .bind(), not {type(dag).__name__}.")
    return _Created(dag, args, kwargs)


class _Created(DagStep, Workflow[Any]):
    """A DAG as a workflow of the first generation."""

    @property
    def _name(self) -> str:
        return type(self.dag).__name__


def wait(workflows: list[Any], num_returns: int = 1, timeout: float | None = None) -> Workflow[Any]:
    """A workflow that is done when some of others are: its value is ``(values, remaining)``.

    Both keep the order of ``workflows``. ``remaining`` are references that other steps, and another
    ``wait``, take like workflows. What was ready is recorded once: everybody sees the same.

    Args:
        workflows: a list of workflows.
        num_returns: how many of them must have their values.
        timeout: seconds after which it is done with fewer.

    Raises:
        TypeError: no list of workflows.
        ValueError: ``num_returns`` is not between 1 and their number.

    Source: ``ray-workflows`` 2.6.
    """
    given: Any = workflows
    if not (isinstance(given, list) and all(map(nodes.is_step, given))):
        raise TypeError(f"workflow.wait takes a list of workflows, not {workflows!r:.100}.")
    if type(num_returns) is not int:
        raise TypeError(f"num_returns is a whole number, not {num_returns!r}.")
    if not 1 <= num_returns <= len(workflows):
        raise ValueError(f"num_returns is between 1 and {len(workflows)}, not {num_returns}.")
    seconds = check_seconds("timeout", timeout, zero=True)
    spec = {"kind": WaitKind.TASKS, "count": num_returns, "seconds": seconds}
    options = {"task_id": "workflow.wait", "wait": spec, "effect": True}
    return Workflow(Call(_waits, (), {}, {}, options, watches=tuple(workflows)))


def _waits() -> None:
    """Stands for the code of a wait, which the engine performs itself."""


def _name_of(function: Callable[..., Any]) -> str:
    name = getattr(function, "__qualname__", _ANONYMOUS)
    return task_name(getattr(function, "__module__", __name__), name)


def divided(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of a step, and Ray's."""
    ours = {k: v for k, v in options.items() if k in _OURS}
    return ours, {k: v for k, v in options.items() if k not in _OURS}


def checked_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a step and Ray's, checked. Raises ValueError."""
    ours, rays = divided(options)
    for name in ("catch_exceptions", "allow_inplace", "checkpoint"):
        if ours.get(name) is not None and not isinstance(ours[name], bool):
            raise ValueError(f"{name} must be True or False, not {ours[name]!r}.")
    retries = ours.get("max_retries")
    if retries is not None and (isinstance(retries, bool) or not isinstance(retries, int)):
        raise ValueError(f"max_retries is a whole number, not {retries!r}.")
    if retries is not None and retries < -1:
        raise ValueError(f"max_retries is at least -1, not {retries}.")
    chosen = ours.get("name")
    if chosen is not None and not (isinstance(chosen, str) and chosen):
        raise ValueError(f"name must be a non-empty string, not {chosen!r}.")
    if "metadata" in ours:
        ours["metadata"] = check_metadata(ours["metadata"])
    return {**ours, **rays}
