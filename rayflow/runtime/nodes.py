"""Ray's DAG nodes, seen through the few questions that a translation asks."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ray.dag import DAGNode, FunctionNode, InputAttributeNode, InputNode

from rayflow.runtime import ray_options


@dataclass(frozen=True, slots=True)
class Call:
    """What a node asks for: a function, its arguments, Ray's options and ours.

    ``watches``: nodes whose values it wants to see, without waiting for all of them.
    """

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    ray_options: dict[str, Any]
    options: dict[str, Any]
    watches: tuple[Any, ...] = ()


class StepNode:
    """A node of the first generation: a call of a step. Its arguments hold values where it holds nodes.

    ``is_inplace``: it may run in the process of the task that continues as it.
    """

    is_inplace = False

    def __init__(self, call: Call) -> None:
        self.call = call

    def __reduce__(self) -> tuple[Any, ...]:
        raise ValueError(
            f"The {type(self).__name__} of step {self.call.function!r:.100} is a plan and no value, so it "
            "cannot be stored or sent: return it by itself to continue as it, or give it to another step."
        )


class DagStep(StepNode):
    """A Ray DAG as such a node, with the values for its ``InputNode``."""

    def __init__(self, dag: DAGNode, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        super().__init__(Call(_itself, (dag,), {}, {}, {}))
        self.dag, self.args, self.kwargs = dag, args, kwargs


class TaskReference(StepNode):
    """A task that the workflow has already, such as one that ``workflow.wait`` has left behind."""

    def __init__(self, task_id: str) -> None:
        super().__init__(Call(_itself, (self,), {}, {}, {"task_id": task_id}))
        self.task_id = task_id

    def __reduce__(self) -> tuple[Any, ...]:
        return TaskReference, (self.task_id,)


class MapNode(StepNode):
    """A list whose items are given to a function each, at most ``limit`` of them at once.

    ``call`` is the call of one item. ``of`` is the id of the task that continues as this.
    """

    def __init__(self, call: Call, items: tuple[Any, ...], of: str, limit: int | None) -> None:
        super().__init__(call)
        self.items, self.of, self.limit = items, of, limit


class MethodNode(StepNode):
    """A call of a method of the virtual actor in which it is made."""


def method_call(
    name: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    options: Mapping[str, Any],
    **rays: Any,
) -> MethodNode:
    """A node that calls method ``name``; ``options`` are ours, ``rays`` Ray's."""
    ours = {"effect": True, **options, "method": name}
    return MethodNode(Call(_method, args, kwargs, rays, ours))


def _method() -> None:
    """Stands for the code of a method, which is that of the class that the actor has then."""


def together(*values: Any) -> list[Any]:
    """The body of the task that puts the values of a :class:`MapNode` into one list."""
    return list(values)


def _itself(value: Any) -> Any:
    return value


def is_node(value: object) -> bool:
    """Whether ``value`` is a node: of a Ray DAG, or a call of a step."""
    return isinstance(value, DAGNode | StepNode)


def is_step(value: object) -> bool:
    """Whether ``value`` is a call of a step."""
    return isinstance(value, StepNode)


def is_input(value: object) -> bool:
    """Whether ``value`` stands for an argument of ``workflow.run``."""
    return isinstance(value, InputNode | InputAttributeNode)


def call_of(node: DAGNode | StepNode) -> Call:
    """The call that ``node`` stands for.

    Raises:
        TypeError: it is not a function node, or its arguments do not fit the function.
        ValueError: it has more than one return value, or yields them.
    """
    if isinstance(node, StepNode):
        return node.call
    if not isinstance(node, FunctionNode):
        raise TypeError(
            f"A workflow is made of remote functions; {type(node).__name__} cannot be a part of one. "
            "Call actors from inside a task instead."
        )
    function = node._body
    rays, ours = ray_options.apart(node._bound_options or {})
    _check_returns(function, rays)
    check_signature(function, node._bound_args, node._bound_kwargs)
    return Call(function, tuple(node._bound_args), dict(node._bound_kwargs), rays, ours)


def input_value(node: DAGNode, args: tuple[Any, ...] | None, kwargs: Mapping[str, Any]) -> Any:
    """What an input node stands for when the workflow is run with ``args`` and ``kwargs``.

    ``inp[0]`` and ``inp.name`` are the arguments of ``run``. With one positional argument a bare
    ``inp`` is that argument, and ``inp.name`` or ``inp[1]`` looks inside it, as Ray's own
    ``dag.execute`` does (``ray-workflows`` 1.3).

    Raises:
        TypeError: there is no such argument, or none at all (``args`` is None: a continuation).
    """
    if args is None:
        raise TypeError(
            "An InputNode stands for an argument of workflow.run and has no value in a continuation; "
            "bind the value itself."
        )
    single = len(args) == 1 and not kwargs
    if isinstance(node, InputNode):
        if single:
            return args[0]
        raise TypeError(
            "The DAG uses a bare InputNode, which stands for exactly one positional argument; "
            f"workflow.run got {len(args)} positional and {len(kwargs)} keyword arguments."
        )
    key, source = node._key, node._dag_input_node
    try:
        if isinstance(key, str) and key in kwargs:
            return kwargs[key]
        if isinstance(key, int) and key < len(args) and not (single and _indexes_inside(source)):
            return args[key]
        if single:
            by_item = isinstance(key, int) or node._accessor_method == "__getitem__"
            return args[0][key] if by_item else getattr(args[0], key)
    except (LookupError, AttributeError, TypeError) as error:
        raise TypeError(f"The input of the DAG has nothing at {key!r}: {error}.") from error
    raise TypeError(f"The DAG needs the input {key!r}, which workflow.run was not given.")


def waiting(
    function: Callable[..., Any],
    name: str,
    wait: Mapping[str, Any],
    args: tuple[Any, ...] = (),
    kwargs: Mapping[str, Any] | None = None,
    **options: Any,
) -> DAGNode:
    """A node whose task waits, see :mod:`rayflow.core.waits`.

    ``function`` is what plain Ray does instead (``dag.execute()``), and the body of a listener;
    ``options`` are more of the task's.
    """
    ours = {"task_id": name, "wait": dict(wait), "effect": True, **options}
    return calling(function, ours, args, kwargs)


def calling(
    function: Callable[..., Any],
    options: Mapping[str, Any],
    args: tuple[Any, ...] = (),
    kwargs: Mapping[str, Any] | None = None,
) -> DAGNode:
    """A node that calls a function of ours, which is no burden to the cluster, with our ``options``."""
    import ray  # here, so that translating alone does not start Ray's worker machinery

    remote: Any = ray.remote(num_cpus=0)(function)
    ours = ray_options.among_rays(dict(options))
    node: DAGNode = remote.options(**ours).bind(*args, **(kwargs or {}))
    return node


def execute(node: DAGNode) -> Any:
    """Run a DAG with plain Ray, outside any workflow, and return its value."""
    import ray  # here, so that translating alone does not start Ray's worker machinery

    ref: Any = node.execute()
    return ray.get(ref)


def call_each(
    function: Callable[..., Any], options: Mapping[str, Any], items: list[Any], is_caught: bool
) -> list[Any]:
    """Call a function with Ray's ``options`` for every item with plain Ray, in parallel."""
    import ray  # here, so that translating alone does not start Ray's worker machinery

    remote: Any = ray.remote(function).options(**options)
    refs = [remote.remote(item) for item in items]
    if not is_caught:
        return ray.get(refs)
    return [_caught(ref) for ref in refs]


def _caught(ref: Any) -> tuple[Any, Exception | None]:
    import ray

    try:
        return ray.get(ref), None
    except ray.exceptions.RayTaskError as error:
        return None, error.cause if isinstance(error.cause, Exception) else error


def _indexes_inside(source: InputNode) -> bool:
    """Whether the DAG takes ``inp[1]`` or more of its single argument, so ``inp[0]`` is inside too."""
    return any(isinstance(key, int) and key > 0 for key in source.input_attribute_nodes)


def _check_returns(function: Callable[..., Any], options: Mapping[str, Any]) -> None:
    returns = options.get("num_returns")
    if returns not in (None, 1):
        raise ValueError(
            f"The task {function.__qualname__} has num_returns={returns!r}; a task of a workflow "
            "returns one value. Return a tuple instead."
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise ValueError(
            f"The task {function.__qualname__} is a generator; a task of a workflow returns one value. "
            "Return a list instead."
        )


_signatures: weakref.WeakKeyDictionary[Any, inspect.Signature] = weakref.WeakKeyDictionary()


def check_signature(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> None:
    """Raise TypeError if the arguments do not fit the function."""
    try:
        signature = _signatures.get(function)
        if signature is None:
            signature = _signatures[function] = inspect.signature(function)
        signature.bind(*args, **kwargs)
    except TypeError as error:
        name = getattr(function, "__qualname__", repr(function))
        raise TypeError(f"The arguments of task {name} do not fit: {error}.") from None
    except ValueError:
        return  # a builtin without a signature
