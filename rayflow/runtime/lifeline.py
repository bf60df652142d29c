"""What connects an attempt with its engine while it runs: signs of life one way, the wish to stop the other."""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

import ray

from rayflow import context
from rayflow.core.graph import StoredValue
from rayflow.runtime.alarms import alarms
from rayflow.runtime.heartbeats import Pulse
from rayflow.runtime.interruption import Interruption
from rayflow.runtime.processes import this_process

if TYPE_CHECKING:
    from rayflow.runtime.worker import TaskCall

ANNOUNCE_AFTER_SECONDS = 0.05  # short tasks are over before it is worth it
_END_SECONDS = 5.0


class Keeper(Protocol):
    """Stores the progress of a body."""

    def save(self, value: Any) -> StoredValue: ...

    def saved(self, stored: StoredValue) -> None: ...

    def restored(self, default: Any) -> Any: ...

    def later(self, node: Any) -> None: ...


def answered(ref: Any) -> Any:
    """The answer of the engine; its errors arrive as themselves."""
    try:
        return ray.get(ref)
    except ray.exceptions.RayTaskError as error:
        raise (error.cause if isinstance(error.cause, Exception) else error) from None


class Lifeline:
    """The connection of one attempt. Its calls of the engine wait for no answer."""

    def __init__(
        self, call: TaskCall, engine: Any, interruption: Interruption | None = None
    ) -> None:
        self.last_heartbeat = call.heartbeat
        self.interruption = interruption or Interruption()
        self.pulse = Pulse(self._say_beat, call.heartbeat_timeout)
        self.keeper: Keeper | None = None
        self.attempt = (call.workflow_id, call.task_id, call.attempt, call.token)
        self._children = itertools.count(1)
        self._calls: Counter[str] = Counter()
        self._is_watched, self._engine = call.is_watched, engine
        self._context = context.TaskContext(
            call.storage,
            call.workflow_id,
            call.task_id,
            call.attempt,
            self,
            call.listener,
            call.submission,
            call.callers,
        )

    @contextmanager
    def held(self) -> Iterator[None]:
        """Have the code that runs in the block find this attempt, and the engine hear of it."""
        announcement = None
        if not self._is_watched:
            announcement = alarms().after(ANNOUNCE_AFTER_SECONDS, self._announce)
        context.hold(self)
        token = context.current.set(self._context)
        try:
            yield
        finally:
            context.current.reset(token)
            context.hold(None)
            self.pulse.stop()
            if announcement is not None:
                alarms().cancel(announcement)

    def begin(self) -> None:
        """The body starts now, which is when its limits of time begin to count."""
        if self._is_watched:
            self._announce()

    def beat(self, details: Any) -> None:
        """Give a sign of life."""
        self.pulse.beat(details)

    def checkpoint(self, value: Any) -> None:
        """Have the progress of the body recorded; durable when this returns.

        Raises:
            SerializationError: it cannot be stored.
            StaleAttemptError: the attempt is over as far as the engine knows.
        """
        assert self.keeper is not None
        stored = self.keeper.save(value)
        answered(self._engine.task_progress.remote(*self.attempt, stored))
        self.keeper.saved(stored)

    def restored(self, default: Any) -> Any:
        """What an attempt of this task has saved last."""
        assert self.keeper is not None
        return self.keeper.restored(default)

    def later(self, node: Any) -> None:
        """Have a call of its own made of ``node`` when the method of an actor that runs has ended well."""
        assert self.keeper is not None
        self.keeper.later(node)

    def next_child(self) -> int:
        """Count the child workflows that the attempt starts."""
        return next(self._children)

    def next_call(self, what: str) -> int:
        """Count the calls of actors that the attempt makes; ``what`` tells them apart."""
        self._calls[what] += 1
        return self._calls[what]

    def is_cancelled(self) -> bool:
        """Whether the attempt was asked to stop."""
        return self.interruption.is_asked

    def end_process(self) -> NoReturn:
        """The attempt has stopped as it was asked to. What it has left, threads and GPU memory, goes too.

        Ray reports the end of a process as a crash unless it was Ray that ended it: so let the engine
        have that done.
        """
        with suppress(Exception):
            self._engine.task_stopped.remote(*self.attempt, self.pulse.details)
            sys.stdout.flush()
            sys.stderr.flush()
            time.sleep(_END_SECONDS)
        os._exit(0)

    def _announce(self) -> None:
        self._engine.task_started.remote(*self.attempt, this_process())

    def _say_beat(self, details: Any) -> None:
        self._engine.task_heartbeat.remote(*self.attempt, details)
