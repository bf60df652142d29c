"""What runs in a worker that has attempts of several tasks: one after the other, as the engine sends them.

The engine is told of each attempt before it begins, and of outcomes together as soon as there is nothing
else to run, or the next attempt takes a while. So if the process dies, the engine knows which one was running.

An attempt that follows another one begins when the value of that is durable, in a relay of this worker.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal

from rayflow.core.fusion import is_relayed
from rayflow.core.graph import StoredValue
from rayflow.core.outcomes import RETURNED, Outcome, succeeded
from rayflow.errors import FencedError, StorageError
from rayflow.runtime.alarms import alarms
from rayflow.runtime.exchange import Address, Line, line_to
from rayflow.runtime.interruption import Interruption, interruptible_by
from rayflow.runtime.worker import TaskCall, run_task, store_of
from rayflow.storage.relays import Relay

SLOW_SECONDS = 0.05  # then others may have what is still to be run
TOGETHER_SECONDS = 0.005  # how long outcomes wait for others
CHAIN_SECONDS = 0.05  # of a chain they are durable already

What = Literal["here", "ended", "slow", "doomed", "left", "calls", "stop", "kill", "end"]
Message = tuple[What, int, Any]  # what, the number of the bundle, and more
Last = tuple[int, Outcome] | None  # the outcome of an attempt that was not told over the line

UNREACHED = "unreached"


@dataclass(slots=True)
class _Passed:
    """A value that is durable, and on its way to the attempt that follows."""

    workflow_id: str
    task_id: str
    value: StoredValue


def run_bundle(address: Address, number: int, engine: Any) -> tuple[Last | str, Any]:
    """Run attempts until the engine has none, or one leaves a value that only Ray can carry.

    Returns the outcome that the engine was not told, if there is one, and that value; or ``UNREACHED``
    if there is no line to the engine.
    """
    try:
        line = line_to(address)
    except OSError:
        return UNREACHED, None
    bundle = _Bundle(line, number, engine)
    with interruptible_by(bundle.interruption) as listen:
        bundle.listen = listen
        return bundle.run()


class _Bundle:
    """The attempts of one bundle: received in the thread of the line, run in the main thread."""

    def __init__(self, line: Line, number: int, engine: Any) -> None:
        self._line, self._number, self._engine = line, number, engine
        self._calls: deque[tuple[int, TaskCall]] = deque()
        self._changed = threading.Condition()
        self._is_over = False
        self._running: int | None = None
        self._slow: int | None = None  # the attempt that has turned out to take long
        self._ended: list[tuple[int, Outcome]] = []  # of which the engine has not been told
        self._told_at = 0.0
        self.listen: Callable[[], None] = _nothing
        self._passed: _Passed | None = None
        self._relays: dict[str, Relay | None] = {}  # by workflow; None: it does not work
        self._interruption: Interruption | None = None

    def interruption(self) -> Interruption | None:
        """That of the attempt that runs."""
        return self._interruption

    def run(self) -> tuple[Last, Any]:
        """Run what comes until the engine says that it is the end, or the line is gone."""
        self._line.receive = self._receive
        last: Last = None
        value = None
        try:
            self._send("here", None)
            while last is None and (following := self._next()) is not None:
                last, value = self._attempt(*following)
            self._tell()
            self._send("left", None)
        except OSError:
            pass  # the end of the Ray task says the same
        return last, value

    def _attempt(self, which: int, call: TaskCall) -> tuple[Last, Any]:
        ready = self._with_value(call)
        if ready is None:
            with self._changed:
                self._running = self._interruption = None
                self._ended.append((which, RETURNED))
            return None, None
        slow = alarms().after(SLOW_SECONDS, lambda: self._give_back(which))
        assert self._interruption is not None
        self.listen()
        outcome, value = run_task(ready, self._engine, [], self._interruption)
        alarms().cancel(slow)
        if value is None and self._is_followed(call):
            self._pass_on(call, outcome)
        with self._changed:
            self._running = self._interruption = None
            if value is not None or not self._line.is_open:
                return (which, outcome), value
            self._ended.append((which, outcome))
        return None, None

    def _with_value(self, call: TaskCall) -> TaskCall | None:
        """``call`` with the value of the attempt that it follows; None if that has not left one."""
        passed, self._passed = self._passed, None
        if call.follows is None:
            return call
        task_id, position = call.follows
        if passed is None or (passed.workflow_id, passed.task_id) != (call.workflow_id, task_id):
            return None
        inputs = (*call.inputs[:position], passed.value, *call.inputs[position + 1 :])
        return replace(call, inputs=inputs)

    def _is_followed(self, call: TaskCall) -> bool:
        with self._changed:
            following = self._calls[0][1] if self._calls else None
        if following is None or following.follows is None:
            return False
        return (following.workflow_id, following.follows[0]) == (call.workflow_id, call.task_id)

    def _pass_on(self, call: TaskCall, outcome: Outcome) -> None:
        """Make a value durable, so that the attempt behind it may begin; if that fails, the engine sees to it."""
        if outcome.kind != "value" or outcome.hops or outcome.value is None:
            return
        fact = succeeded(call.task_id, call.attempt, outcome)
        relay = self._relay(call)
        if relay is None or not is_relayed(fact):
            return
        try:
            relay.put([fact.at(1, time.time())])
        except (FencedError, FileExistsError, StorageError):
            self._relays[call.workflow_id] = None
        else:
            self._passed = _Passed(call.workflow_id, call.task_id, outcome.value)

    def _relay(self, call: TaskCall) -> Relay | None:
        if call.workflow_id not in self._relays:
            store = store_of(call.storage)
            relay = Relay(store, call.workflow_id, call.epoch, self._number)
            self._relays[call.workflow_id] = relay
        return self._relays[call.workflow_id]

    def _tell(self) -> None:
        """Tell the engine of the outcomes that there are."""
        with self._changed:
            ended, self._ended, self._told_at = self._ended, [], time.monotonic()
            if ended:
                self._send("ended", ended)

    def _next(self) -> tuple[int, TaskCall] | None:
        with self._changed:
            pause = CHAIN_SECONDS if self._passed else TOGETHER_SECONDS
            if not self._calls or time.monotonic() - self._told_at > pause:
                self._tell()
            while not self._calls and not self._is_over:
                self._changed.wait()
            if not self._calls:
                return None
            which, call = self._calls.popleft()
            self._running, self._interruption = which, Interruption(is_deaf=True)
            self._line.sign(which)
            return which, call

    def _receive(self, message: Message | None) -> None:
        """Something has come; nothing means that the line is gone."""
        if message is not None and message[1] != self._number:
            return  # for a bundle that was here before
        end: Message = "end", 0, None
        what, _, more = message or end
        with self._changed:
            match what:
                case "calls":
                    self._calls += more
                    if self._running is not None and self._running == self._slow:
                        self._return_waiting()  # sent before the engine heard that it takes long
                    self._changed.notify()
                case "end":
                    self._is_over = True
                    if message is None:
                        self._calls.clear()
                    self._changed.notify()
                case "stop" | "kill":
                    self._stop(more, force=what == "kill")

    def _stop(self, which: int, *, force: bool) -> None:
        """Stop an attempt wherever it is; if it has ended, its outcome is on its way."""
        if which == self._running and self._interruption is not None:
            if force:  # Ray reports the end of a process as a crash unless it was Ray that ended it
                self._is_over = True
                self._return_waiting()
                self._send("doomed", which)
            else:
                self._interruption.interrupt()
            return
        for waiting in self._calls:
            if waiting[0] == which:
                self._calls.remove(waiting)
                self._send("ended", [(which, Outcome("stopped"))])
                return

    def _give_back(self, which: int) -> None:
        """The attempt takes long, or waits for another one: what has not begun can run elsewhere."""
        with self._changed:
            if self._running != which:
                return
            self._slow = which
            self._return_waiting()

    def _return_waiting(self) -> None:
        waiting = [n for n, _ in self._calls]
        self._calls.clear()
        with suppress(OSError):  # nobody is there to take it
            self._tell()
            self._send("slow", waiting)

    def _send(self, what: What, more: Any) -> None:
        self._line.send((what, self._number, more))


def _nothing() -> None:
    """There is nothing to renew."""
