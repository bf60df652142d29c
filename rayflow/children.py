"""Child workflows: a task starts another workflow, and waits for it or not."""

from __future__ import annotations

import hashlib
from typing import Any

from rayflow import api, context
from rayflow.core.ids import MAX_ID_BYTES
from rayflow.core.waits import WaitKind
from rayflow.runtime import nodes


def child(
    dag: Any,
    *args: Any,
    workflow_id: str | None = None,
    wait: bool = True,
    on_cancel: str = "cancel",
    catch_exceptions: bool = False,
    metadata: dict[str, Any] | None = None,
    **kwargs: Any,
) -> Any:
    """Start another workflow from inside a task: exactly once, however often the task is tried again.

    The child has its own id, status, journal and limits of time. With ``wait`` it is a part of its parent and
    takes no slot of its own (``max_running_workflows``); nothing runs while the parent waits.

    Args:
        dag: a node made with ``fn.bind(...)``, as for :func:`rayflow.workflow.run`.
        *args: positional values for the DAG's ``InputNode``.
        workflow_id: the child's id, which must be new; default ``<parent's id>.<task's id>.<number>``.
        wait: return a DAG node whose value is the child's: return it from the task, or give it to
            other nodes. Without, the child's id is returned and the parent goes its own way.
        on_cancel: ``"cancel"`` cancels the child with its parent, ``"abandon"`` lets it run on.
        catch_exceptions: the node's value becomes ``(value, None)`` or ``(None, exception)``.
        metadata: a JSON-serialisable dict, kept with the child.
        **kwargs: keyword values for the ``InputNode``.

    Returns:
        The node, which fails with :class:`ChildWorkflowError` if the child does not end well; or the id.

    Raises:
        RuntimeError: not called inside a task of a workflow.
        TypeError, ValueError: as :func:`rayflow.workflow.run` does; the id is taken
            (:class:`WorkflowExistsError`).
        StaleAttemptError: the attempt was stopped or replaced.
        queue.Full: there is no place for one that the parent does not wait for.

    Source: ``user-demand`` 4.4 and 4.7.
    """
    lifeline = context.inside("child")
    if on_cancel not in ("cancel", "abandon"):
        raise ValueError(f"on_cancel is 'cancel' or 'abandon', not {on_cancel!r}.")
    derived = _derived_id(lifeline)
    chosen = derived if workflow_id is None else workflow_id
    link = {"waits": bool(wait), "on_cancel": on_cancel}
    _submit(lifeline, dag, args, kwargs, chosen, metadata, f"child {derived}", link)
    return _value_of(chosen, bool(catch_exceptions)) if wait else chosen


def _submit(
    lifeline: context.Lifeline,
    dag: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    workflow_id: str,
    metadata: dict[str, Any] | None,
    token: str,
    link: dict[str, Any],
) -> None:
    parent_id, task_id = lifeline.attempt[:2]
    with api.connection().listener.submitting() as listener:
        api.submit(
            dag,
            args,
            kwargs,
            workflow_id=workflow_id,
            metadata=metadata,
            must_be_new=True,
            token=token,
            listener=listener,
            parent={"workflow_id": parent_id, "task_id": task_id, **link},
            attempt=lifeline.attempt,
        )


def _derived_id(lifeline: context.Lifeline) -> str:
    """The same for the same child in every attempt."""
    parent_id, task_id = lifeline.attempt[:2]
    derived = f"{parent_id}.{task_id}.{lifeline.next_child()}"
    if len(derived.encode("utf-8", "surrogatepass")) <= MAX_ID_BYTES:
        return derived
    return hashlib.sha256(derived.encode("utf-8", "surrogatepass")).hexdigest()


def _value_of(child_id: str, is_caught: bool) -> Any:
    """Two tasks: the first waits in the engine alone, the second reads the value."""
    wait = {"kind": WaitKind.CHILD, "name": child_id}
    end = nodes.waiting(_alone, "workflow.child.wait", wait, catch_exceptions=is_caught)
    return nodes.calling(_output, {"task_id": "workflow.child"}, (end, is_caught))


def _output(end: Any, is_caught: bool) -> Any:
    child_id, error = end if is_caught else (end, None)
    if error is not None:
        return None, error
    value = api.output_of(child_id)
    return (value, None) if is_caught else value


def _alone() -> None:
    raise RuntimeError("Children belong to workflows; run the DAG with workflow.run.")
