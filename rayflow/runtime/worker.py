"""What runs in a Ray worker: one attempt of one task."""

from __future__ import annotations

import importlib
import os
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

from rayflow.core.compact import compact
from rayflow.core.graph import Graph, StoredValue
from rayflow.core.outcomes import Outcome
from rayflow.dag import Slot, translate
from rayflow.errors import (
    CodeUnavailableError,
    DataLoadError,
    DataSaveError,
    StorageError,
    TaskLostError,
)
from rayflow.runtime import code, environment, in_place, task_logs
from rayflow.runtime.in_place import Hops
from rayflow.runtime.interruption import Interruption, interruptible
from rayflow.runtime.lifeline import Lifeline
from rayflow.runtime.methods import Method
from rayflow.runtime.prints import printing_for
from rayflow.runtime.processes import node_address
from rayflow.runtime.references import (
    Carried,
    Input,
    LostInputError,
    ValueReader,
    ValueWriter,
)
from rayflow.storage import layout
from rayflow.storage.preview import describe
from rayflow.storage.root import open_store
from rayflow.storage.store import Store
from rayflow.storage.values import INLINE_BYTES, decode

_TRACEBACK_BYTES = 64 * 1024


@compact
@dataclass(slots=True)
class TaskCall:
    """Everything an attempt needs. ``inputs[i]`` is None where ``refs`` carries the value instead.

    ``item``: the position of its only argument in ``args``, which holds those of other tasks too.
    ``method``: ``function`` is the class of a virtual actor, and this is called on its ``state``.
    ``callers``: the actors whose methods may wait for the attempt.
    ``more``: the calls that the same worker is to run after this one.
    ``may_share``: its worker may have other attempts as well.
    ``epoch``: that of the journal's owner.
    ``follows``: the task that runs before it in the same worker, and the position of its value in ``inputs``.
    ``submission``: the token of the workflow's submission, which tells it from another one with its id.
    """

    storage: str
    workflow_id: str
    task_id: str
    attempt: int
    function: str
    args: StoredValue
    inputs: tuple[StoredValue | None, ...]
    catches: bool
    checkpoint: bool | Literal["async"]
    token: str
    judge: str | None = None
    heartbeat: Any = None
    heartbeat_timeout: float | None = None
    is_timed: bool = False
    listener: str | None = None
    old_names: bool = False
    progress: StoredValue | None = None
    item: int | None = None
    method: str | None = None
    state: StoredValue | None = None
    submission: str = ""
    callers: tuple[str, ...] = ()
    may_share: bool = False
    epoch: int = 0
    follows: tuple[str, int] | None = None
    more: tuple[Next, ...] = ()

    @property
    def is_watched(self) -> bool:
        """Whether the engine measures how long the attempt takes."""
        return self.is_timed or self.heartbeat_timeout is not None


Next = tuple[TaskCall, list[tuple[int, Any]]]  # a call that is to be run, with its live inputs


def run_task(
    call: TaskCall,
    engine: Any,
    refs: list[tuple[int, Any]],
    interruption: Interruption | None = None,
) -> tuple[Outcome, Any]:
    """Run one attempt and say what became of it. Never raises.

    ``interruption``: how the attempt is asked to stop, if the caller sees to that.
    Returns the outcome, and the value itself if it is too large to travel inside the outcome. Does not
    return if the attempt was asked to stop and has stopped: its process ends.
    """
    detail = {"started_at": time.time(), "node": node_address(), "pid": os.getpid()}
    lifeline = Lifeline(call, engine, interruption)
    try:
        with (
            printing_for(call.listener, call.task_id),
            task_logs.Kept(_storage(call.storage)[0], call.workflow_id, call.task_id, call.attempt),
            _old_names() if call.old_names else nullcontext(),
            interruptible(lifeline.interruption) if interruption is None else nullcontext(),
            lifeline.held(),
        ):
            return Attempt(call, refs, detail, lifeline).run()
    except (KeyboardInterrupt, _Stopped):
        lifeline.end_process()


def store_value(call: TaskCall, outcome: Outcome, value: Any) -> Outcome:
    """Store a value that an attempt has left in Ray's object store alone. Never raises.

    Returns ``outcome`` with the place of the value, or why it has none.
    """
    store, code_store = _storage(call.storage)
    writer = ValueWriter(store, call.workflow_id, code_store)
    try:
        kept = writer.keep(writer.result(value, call.task_id), call.task_id)
    except Exception as error:
        return Outcome("lost", error=describe_error(error), detail=outcome.detail)
    return replace(outcome, value=kept)


class _Stopped(BaseException):
    """The body ended because it was asked to stop."""


class Attempt:
    """One attempt: load code and arguments, call, store. Without a ``lifeline`` somebody else calls."""

    def __init__(
        self,
        call: TaskCall,
        refs: list[tuple[int, Any]],
        detail: dict[str, Any],
        lifeline: Lifeline | None,
    ) -> None:
        self._call, self._detail, self._lifeline = call, detail, lifeline
        store, code_store = _storage(call.storage)
        self._store, live = store, dict(refs)
        inputs = [Input(stored, live.get(i)) for i, stored in enumerate(call.inputs)]
        self._reader = ValueReader(store, inputs)
        self._writer = ValueWriter(store, call.workflow_id, code_store, self._reader.known)
        self._progress = call.progress
        self._method: Method | None = None
        self._laters: list[Any] = []
        if lifeline is not None:
            lifeline.keeper = self

    def run(self) -> tuple[Outcome, Any]:
        """Load, call, store; each with the kind of error that belongs to it."""
        call, lifeline = self._call, self._lifeline
        assert lifeline is not None
        try:
            function, judge, args, kwargs = self.load()
        except Exception as error:
            return self.not_loaded(error), None
        try:
            lifeline.begin()
            value = self._run(function, args, kwargs)
            body = None if self._method is not None else self._run
            ended = in_place.follow(value, call.catches, self._translated, body)
        except in_place.PlanError as error:
            cause = error.__cause__ or error
            is_ours = isinstance(cause, DataSaveError)
            return self._lost(cause) if is_ours else self.raised(cause, retryable=False)
        except BaseException as error:
            if lifeline.is_cancelled():
                raise _Stopped from error
            if lost := self._reader.lost_inputs(error):
                return self._lost(error, lost)
            return self.raised(error, retryable=judge is None or bool(judge(error)))
        return self.stored(ended)

    def load(self) -> tuple[Any, Any, list[Any], dict[str, Any]]:
        """The function, who judges its exceptions, and its arguments."""
        call = self._call
        function = code.load(self._store, call.function)
        if call.method is not None:
            function = self._method = Method(
                function, call.method, call.workflow_id, call.state, self._reader
            )
        judge = code.load(self._store, call.judge) if call.judge else None
        return function, judge, *self._arguments()

    def not_loaded(self, error: Exception) -> Outcome:
        """What becomes of an attempt whose :meth:`load` has raised."""
        is_lost = isinstance(error, LostInputError)
        inputs = self._reader.gone_inputs() if is_lost else ()
        return self._lost(error if is_lost else self._why(error), inputs)[0]

    def save(self, value: Any) -> StoredValue:
        """Store the progress of the body; what was stored before goes when it is recorded."""
        return self._writer.keep(self._writer.result(value, self._call.task_id), self._call.task_id)

    def saved(self, stored: StoredValue) -> None:
        """The progress is recorded: nobody needs the one before it."""
        before, self._progress = self._progress, stored
        if before is not None and before.key is not None:
            self._store.delete(before.key)

    def restored(self, default: Any) -> Any:
        """What an attempt has saved last."""
        return default if self._progress is None else self._reader.read(self._progress)

    def later(self, node: Any) -> None:
        """Make a call of its own of ``node`` when the method that runs has ended well."""
        if self._method is None:
            raise RuntimeError("workflow.later works inside a method of a virtual actor.")
        self._laters.append(node)

    def stored(self, ended: Hops) -> tuple[Outcome, Any]:
        """What becomes of an attempt whose body has ended well."""
        try:
            if self._method is None:
                return self._returned(ended)
            outcome, _ = self._returned(ended)
            return self._left(outcome, self._method.left()), None
        except DataSaveError as error:
            return self._lost(error)
        except Exception as error:
            return self.raised(error, retryable=False)

    def _left(self, outcome: Outcome, state: Any) -> Outcome:
        """The outcome of a method, with the state that it has left and the calls that it has asked for."""
        encoded = self._writer.result(state, self._call.task_id, "state left by")
        laters = tuple(self._translated(node) for node in self._laters)
        kept = self._writer.keep(encoded, self._call.task_id)
        preview = describe(state, encoded.size)
        return replace(outcome, state=kept, state_preview=preview, laters=laters)

    def _run(
        self, function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]
    ) -> Any:
        """Run code of the user, which may be interrupted."""
        assert self._lifeline is not None
        with self._lifeline.interruption.audible():
            return function(*args, **kwargs)

    def _arguments(self) -> tuple[list[Any], dict[str, Any]]:
        if self._call.item is not None:
            return [self._fill(self._reader.read(self._call.args)[self._call.item])], {}
        args, kwargs = self._reader.read(self._call.args)
        return (
            [self._fill(value) for value in args],
            {key: self._fill(value) for key, value in kwargs.items()},
        )

    def _fill(self, value: Any) -> Any:
        if not isinstance(value, Slot):
            return value
        return (
            self._reader.input(value.which)
            if value.kind == "task"
            else self._reader.read(value.which)
        )

    def _translated(self, node: Any) -> Graph:
        return environment.keep_tasks(self._store, translate(node, self._writer))

    def _returned(self, ended: Hops) -> tuple[Outcome, Any]:
        if ended.graph is not None:
            detail = self._finished()
            return Outcome("graph", graph=ended.graph, hops=ended.graphs, detail=detail), None
        call, value = self._call, ended.value
        if ended.catches:
            value = (value, None)
        encoded = self._writer.result(value, self._call.task_id)
        preview = describe(value, encoded.size)
        if self._call.checkpoint is True or encoded.size <= INLINE_BYTES:
            stored = self._writer.keep(encoded, self._call.task_id)
        else:  # lives in Ray's object store alone
            stored = StoredValue(encoded.format, encoded.size, 0)
        outcome = Outcome(
            "value",
            value=stored,
            checkpoint=bool(self._call.checkpoint),
            preview=preview,
            hops=ended.graphs,
            detail=self._finished(),
        )
        if stored.data is not None:
            return outcome, None
        return outcome, (Carried(call.storage, encoded) if self._writer.has_code else value)

    def raised(self, error: BaseException, *, retryable: bool) -> tuple[Outcome, Any]:
        """What becomes of an attempt whose body has raised."""
        described = describe_error(error)
        stored = self._caught(error, described)
        heartbeat = None if self._lifeline is None else self._lifeline.pulse.details
        outcome = Outcome(
            "error",
            value=stored,
            error=described,
            retryable=retryable,
            detail={**self._finished(), **({} if heartbeat is None else {"heartbeat": heartbeat})},
            preview=describe((None, error), 0),
        )
        return outcome, None

    def _caught(self, error: BaseException, described: dict[str, Any]) -> StoredValue:
        """The value ``(None, exception)`` that a catching task would have.

        An exception that would not come back in the task that handles it travels as text.
        """
        try:
            encoded = self._writer.result((None, error.with_traceback(None)), self._call.task_id)
            decode(encoded.format, b"".join(encoded.parts), persistent_load=self._reader.resolve)
        except DataSaveError:
            raise
        except Exception:
            lost = TaskLostError(described["type"], described["message"], described["traceback"])
            encoded = self._writer.result((None, lost), self._call.task_id)
        return self._writer.keep(encoded, self._call.task_id)

    def _lost(self, error: BaseException, inputs: tuple[int, ...] = ()) -> tuple[Outcome, Any]:
        """RayFlow, Ray or the storage is at fault, not the body: a system error."""
        outcome = Outcome(
            "lost",
            error=describe_error(error),
            detail=self._finished(),
            retryable=not isinstance(error, CodeUnavailableError),
            lost_inputs=inputs,
        )
        return outcome, None

    def _why(self, error: Exception) -> Exception:
        """A node that does not see the root finds nothing of it: then that is what is wrong."""
        if not isinstance(error, (CodeUnavailableError, DataLoadError)):
            return error
        if self._store.size(layout.MARKER) is not None:
            return error
        return StorageError(
            f"Node {node_address()} does not see the storage {self._store.uri}: what the engine wrote is not "
            "there. Mount it there, or remove the node from the cluster, then resume the workflow."
        )

    def _finished(self) -> dict[str, Any]:
        return {**self._detail, "finished_at": time.time()}


def _old_names() -> AbstractContextManager[None]:
    """``ray.workflow`` for the bodies of a program that has it (the library is above this module)."""
    names: Any = importlib.import_module("rayflow.compat.names")
    found: AbstractContextManager[None] = names.installed()
    return found


def store_of(uri: str) -> Store:
    """The store of a root, opened once per process."""
    return _storage(uri)[0]


@lru_cache(maxsize=8)
def _storage(uri: str) -> tuple[Store, code.CodeStore]:
    """The store of a root and its code, opened once per process."""
    store = open_store(uri)
    return store, code.CodeStore(store)


def describe_error(error: BaseException) -> dict[str, Any]:
    """Type, message and traceback as text, without the frames of this module."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    text = "".join(traceback.format_exception(type(error), error, trace))
    kind = type(error)
    name = (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else (f"{kind.__module__}.{kind.__qualname__}")
    )
    try:
        message = str(error)
    except Exception:
        message = "the exception has no readable message"
    return {
        "type": name,
        "message": message[:_TRACEBACK_BYTES],
        "traceback": text[-_TRACEBACK_BYTES:],
    }
