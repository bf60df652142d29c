"""What runs in the worker of a lane: the calls of an actor, one after the other."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

from rayflow.core.outcomes import Outcome
from rayflow.runtime.lifeline import answered
from rayflow.runtime.worker import Next, TaskCall, describe_error, run_task

TOGETHER_SECONDS = 0.05  # how long calls are run before the engine hears of them

_UNTOLD = {"type": "LaneEnded", "message": "its worker ended before it began", "traceback": None}


def run_calls(call: TaskCall, engine: Any, refs: list[tuple[int, Any]]) -> tuple[Outcome, Any]:
    """Run calls for as long as the engine has some, each on the state that the one before it has left.

    What becomes of them is told to the engine; what is returned is the outcome of one that is not.
    """
    following: list[Next] = [(replace(call, more=()), refs), *call.more]
    try:
        while following:
            following = _Batch(engine, following).run()
    except Exception as error:  # Ray's, whatever it is: the engine is gone
        return Outcome("lost", error=describe_error(error)), None
    return Outcome("lost", error=_UNTOLD), None


class _Batch:
    """Calls that have come together. Their outcomes go together, unless one of them takes long."""

    def __init__(self, engine: Any, calls: list[Next]) -> None:
        self._engine, self._calls = engine, calls
        self._untold: list[tuple[str, int, Outcome]] = []
        self._lock = threading.Lock()

    def run(self) -> list[Next]:
        """Run them, until one does not end with a plain value; returns the next batch."""
        state = self._calls[0][0].state
        timer = threading.Timer(TOGETHER_SECONDS, self._tell_soon)
        timer.daemon = True
        if len(self._calls) > 1:
            timer.start()
        for call, refs in self._calls:
            outcome, _ = run_task(replace(call, state=state), self._engine, refs)
            with self._lock:
                self._untold.append((call.task_id, call.attempt, outcome))
            if outcome.kind != "value" or outcome.laters or timer.finished.is_set():
                break
            state = outcome.state or state
        timer.cancel()
        found: list[Next] = answered(self._tell(is_done=True))
        return found

    def _tell_soon(self) -> None:
        """The calls have taken a while: let those go whose calls have ended."""
        if self._untold:
            self._tell(is_done=False)

    def _tell(self, *, is_done: bool) -> Any:
        with self._lock:
            ended, self._untold = self._untold, []
            first = self._calls[0][0]
            return self._engine.calls_ended.remote(first.workflow_id, first.token, ended, is_done)
