"""Tasks that have no body: they wait, and the engine performs them itself.

A wait begins when its inputs are recorded. The ``waiting`` record says until when it lasts at the latest;
from then on the task is neither ready nor under way, so it holds no process and no place in the window.
What ends it is known from the state alone: the time, a recorded signal, other tasks that have their
values. The exception is a ``listener``, which has a body that runs in a process for all of them.
"""

from __future__ import annotations

import json
import zlib
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

from rayflow.core.graph import StoredValue

if TYPE_CHECKING:
    from rayflow.core.records import Record
    from rayflow.core.tasks import TaskState


class WaitKind(StrEnum):
    """What a task without a body waits for; ``options["wait"]["kind"]``."""

    TIMER = "timer"
    SIGNAL = "signal"
    APPROVAL = "approval"
    EVENT = "event"  # over HTTP
    CHILD = "child"  # the end of another workflow
    TASKS = "tasks"
    LISTENER = "listener"


How = Literal["met", "expired"]

_READS = (WaitKind.SIGNAL, WaitKind.APPROVAL, WaitKind.EVENT, WaitKind.CHILD)


@dataclass(frozen=True, slots=True)
class BeginWait:
    """Write down that a task waits from now on."""

    task_id: str


@dataclass(frozen=True, slots=True)
class EndWait:
    """A wait is over: what it was for has come (``met``), or its time has."""

    task_id: str
    attempt: int
    how: How


@dataclass(frozen=True, slots=True)
class Signal:
    """A recorded message to a workflow; ``by`` is who sent it, ``time`` when (Unix seconds)."""

    seq: int
    channel: str
    value: StoredValue
    by: str | None
    time: float


def spec(task: TaskState) -> dict[str, Any] | None:
    """What ``task`` waits for; None for a task with a body of the user."""
    found: dict[str, Any] | None = task.options.get("wait")
    return found


def has_body(task: TaskState) -> bool:
    """Whether attempts of ``task`` run somewhere."""
    wait = spec(task)
    return wait is None or wait["kind"] == WaitKind.LISTENER


def is_hosted(task: TaskState) -> bool:
    """Whether attempts of ``task`` run in the process for all listeners."""
    wait = spec(task)
    return wait is not None and wait["kind"] == WaitKind.LISTENER


def channel(kind: str, name: str) -> str:
    """Where messages of one kind and name meet the tasks that wait for them."""
    return f"{kind}/{name}"


def channel_of(task: TaskState) -> str | None:
    """The channel that ``task`` reads, if it waits for a message."""
    wait = spec(task)
    if wait is None or wait["kind"] not in _READS:
        return None
    return channel(wait["kind"], wait.get("name") or task.task_id)


def until(wait: Mapping[str, Any], now: float) -> float | None:
    """When a wait that begins ``now`` ends at the latest (Unix seconds); None is never."""
    if wait.get("at") is not None:
        return float(wait["at"])
    seconds = wait.get("seconds")
    return None if seconds is None else now + float(seconds)


def json_value(value: Any) -> StoredValue:
    """``value`` as it is stored inline. Raises ValueError or TypeError if it is not JSON."""
    data = json.dumps(value, allow_nan=False).encode()
    return StoredValue("json", len(data), zlib.crc32(data), data)


def from_json(value: StoredValue) -> Any:
    """The inverse of :func:`json_value`."""
    assert value.data is not None
    return json.loads(value.data)


class Waits:
    """The waits of one workflow and the messages that it has.

    Attributes:
        ready: tasks that can begin to wait, or to listen, in order.
        beginning: those whose ``waiting`` record the present owner is writing.
        until: tasks that wait, and until when.
        met: those of them whose wait is over, in order.
        signals: the message that each of them is going to have.
    """

    def __init__(self) -> None:
        self.ready: dict[str, None] = {}
        self.beginning: set[str] = set()
        self.until: dict[str, float | None] = {}
        self.met: dict[str, None] = {}
        self.signals: dict[str, Signal] = {}
        self._alarms: list[tuple[float, str]] = []
        self._readers: dict[str, dict[str, None]] = {}  # by channel, oldest first
        self._reads: dict[str, str] = {}  # the channel of each reader
        self._unread: dict[str, deque[Signal]] = {}
        self._keys: set[tuple[str, str]] = set()
        self._watchers: dict[str, list[str]] = {}
        self._wanted: dict[str, int] = {}  # of watching tasks: how many values are still missing

    def __bool__(self) -> bool:
        """Whether anything waits, or is about to."""
        return bool(self.ready or self.beginning or self.until)

    def __contains__(self, task_id: object) -> bool:
        """Whether a task waits, or is about to."""
        return task_id in self.until or task_id in self.beginning

    def begin(self, task: TaskState, record: Record) -> None:
        """Take a ``waiting`` record into account."""
        task_id, end = task.task_id, record.data["until"]
        self.ready.pop(task_id, None)
        self.beginning.discard(task_id)
        self.until[task_id] = end
        if end is not None:
            insort(self._alarms, (end, task_id))
        if (where := channel_of(task)) is not None:
            self._refuse(record.data.get("refused", ()), where)
            self._readers.setdefault(where, {})[task_id] = None
            self._reads[task_id] = where
            self._match(where)
        if self._wanted.get(task_id, 1) <= 0:
            self.met[task_id] = None

    def end(self, task_id: str) -> None:
        """A task does not wait any more; a message that it did not use is for the next one.

        Not the end of a child: that may have another one by the time somebody asks again.
        """
        self.ready.pop(task_id, None)
        self.beginning.discard(task_id)
        self.met.pop(task_id, None)
        end = self.until.pop(task_id, None)
        if end is not None:
            del self._alarms[bisect_left(self._alarms, (end, task_id))]
        if (where := self._reads.pop(task_id, None)) is not None:
            self._readers.get(where, {}).pop(task_id, None)
        unused = self.signals.pop(task_id, None)
        if unused is not None and not unused.channel.startswith(f"{WaitKind.CHILD}/"):
            self._unread.setdefault(unused.channel, deque()).appendleft(unused)
            self._match(unused.channel)

    def use(self, task_id: str) -> None:
        """The message that a task was going to have is its value now."""
        self.signals.pop(task_id, None)

    def signaled(self, record: Record) -> None:
        """Take a ``signaled`` record into account. One with a known key was sent twice."""
        data = record.data
        where, key = data["channel"], data.get("key")
        if key is not None:
            if (where, key) in self._keys:
                return
            self._keys.add((where, key))
        value = StoredValue.from_record(data["value"], record.value)
        signal = Signal(record.seq, where, value, data.get("by"), record.time)
        self._unread.setdefault(where, deque()).append(signal)
        self._match(where)

    def knows(self, where: str, key: str | None) -> bool:
        """Whether a message with this key has come already."""
        return key is not None and (where, key) in self._keys

    def unread(self, where: str) -> Iterator[Signal]:
        """The messages on a channel that nobody has taken, oldest first."""
        return iter(self._unread.get(where, ()))

    def readers(self, where: str) -> Iterator[str]:
        """The tasks that wait for a message on a channel, oldest first."""
        return iter(self._readers.get(where, ()))

    def watch(self, task: TaskState, missing: list[str]) -> None:
        """``task`` wants to see values of others; ``missing`` are those that have none yet."""
        wait = spec(task) or {}
        self._wanted[task.task_id] = wait["count"] - (len(task.watches) - len(missing))
        for watched in missing:
            self._watchers.setdefault(watched, []).append(task.task_id)

    def resolved(self, task_id: str) -> None:
        """A task has its value: let those see it that watch it."""
        for watcher in self._watchers.pop(task_id, ()):
            self._wanted[watcher] -= 1
            if self._wanted[watcher] <= 0 and watcher in self.until:
                self.met[watcher] = None

    def is_watched(self, task_id: str) -> bool:
        """Whether another task wants to see the value of this one."""
        return task_id in self._watchers

    def expired(self, now: float) -> Iterator[str]:
        """The tasks whose time is over and that have not got what they wait for."""
        for end, task_id in self._alarms:
            if end > now:
                return
            if task_id not in self.met:
                yield task_id

    def next_alarm(self, now: float) -> float | None:
        """When the next wait ends by time (Unix seconds)."""
        position = bisect_right(self._alarms, now, key=lambda alarm: alarm[0])
        return self._alarms[position][0] if position < len(self._alarms) else None

    def _match(self, where: str) -> None:
        """First message to the first reader, and so on."""
        unread, readers = self._unread.get(where), self._readers.get(where)
        while unread and readers:
            task_id = next(iter(readers))
            del readers[task_id]
            self.signals[task_id] = unread.popleft()
            self.met[task_id] = None
        if not unread:
            self._unread.pop(where, None)
        if not readers:
            self._readers.pop(where, None)

    def _refuse(self, seqs: Sequence[int], where: str) -> None:
        """Forget messages that do not fit what their reader asks for."""
        if seqs and where in self._unread:
            kept = (signal for signal in self._unread[where] if signal.seq not in seqs)
            self._unread[where] = deque(kept)
