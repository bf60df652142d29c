"""Ray's DAG nodes, seen through the few questions that a translation asks."""

from __future__ import annotations

import base64
import inspect
import json
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ray.dag import DAGNode, FunctionNode, InputAttributeNode, InputNode
from ray.remote_function import RemoteFunction

from rayflow.retry import Retry
from rayflow.runtime import code

# Ray has no option for other libraries any more; "_labels" is accepted by every spelling and kept
# on the node. The key never reaches Ray: it is taken off before a task is submitted.
_LABEL = "rayflow.io/options"
_ATTRIBUTE = "__rayflow_options__"


@dataclass(frozen=True, slots=True)
class Call:
    """What a function node asks for: a function, its arguments, Ray's options and ours."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    ray_options: dict[str, Any]
    options: dict[str, Any]


def is_node(value: object) -> bool:
    """Whether ``value`` is a node of a Ray DAG."""
    return isinstance(value, DAGNode)


def is_input(value: object) -> bool:
    """Whether ``value`` stands for an argument of ``workflow.run``."""
    return isinstance(value, InputNode | InputAttributeNode)


def call_of(node: DAGNode) -> Call:
    """The call that ``node`` stands for.

    Raises:
        TypeError: it is not a function node, or its arguments do not fit the function.
        ValueError: it has more than one return value.
    """
    if not isinstance(node, FunctionNode):
        raise TypeError(
            f"A workflow is made of remote functions; {type(node).__name__} cannot be a part of one. "
            "Call actors from inside a task instead."
        )
    function = node._body
    options = dict(node._bound_options or {})
    _check_returns(function, options)
    labels = dict(options.pop("_labels", None) or {})
    ours = {**getattr(function, _ATTRIBUTE, {}), **_unpacked(labels.pop(_LABEL, _Label("{}")))}
    if labels:
        options["_labels"] = labels
    _check_signature(function, node._bound_args, node._bound_kwargs)
    return Call(function, tuple(node._bound_args), dict(node._bound_kwargs), options, ours)


def input_value(node: DAGNode, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """What an input node stands for when the workflow is run with ``args`` and ``kwargs``.

    ``inp[0]`` and ``inp.name`` are the arguments of ``run``. With one positional argument a bare
    ``inp`` is that argument, and ``inp.name`` or ``inp[1]`` looks inside it, as Ray's own
    ``dag.execute`` does (``ray-workflows`` 1.3).

    Raises:
        TypeError: there is no such argument.
    """
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


def attach_options(remote_function: Any, chosen: dict[str, Any]) -> None:
    """Keep options on a ``@ray.remote`` function; an outer decorator wins over an inner one.

    Raises:
        ValueError: it is not a remote function.
    """
    if not isinstance(remote_function, RemoteFunction):
        raise ValueError("workflow.options decorates a function that @ray.remote has made remote.")
    setattr(remote_function._function, _ATTRIBUTE, dict(chosen))


def as_ray_options(chosen: dict[str, Any]) -> dict[str, Any]:
    """The options as keywords that Ray's ``.options()`` accepts."""
    plain = {name: value for name, value in chosen.items() if name != "finally_"}
    label = _Label(json.dumps(plain, default=_packed))
    label.finally_ = chosen.get("finally_")
    return {"_labels": {_LABEL: label}}


class _Label(str):
    """Options as text, and beside it a DAG, which is no text."""

    finally_: DAGNode | None = None


def _packed(retry: Retry) -> str:
    """Exception types are no JSON."""
    return base64.b64encode(code.dump(retry)).decode()


def _unpacked(text: _Label) -> dict[str, Any]:
    chosen: dict[str, Any] = json.loads(text)
    if text.finally_ is not None:
        chosen["finally_"] = text.finally_
    if chosen.get("retry") is not None:
        chosen["retry"] = pickle.loads(base64.b64decode(chosen["retry"]))
    return chosen


def execute(node: DAGNode) -> Any:
    """Run a DAG with plain Ray, outside any workflow, and return its value."""
    import ray  # here, so that translating alone does not start Ray's worker machinery

    ref: Any = node.execute()
    return ray.get(ref)


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


def _check_signature(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> None:
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(
            f"The arguments of task {function.__qualname__} do not fit: {error}."
        ) from None
    except ValueError:
        return  # a builtin without a signature
