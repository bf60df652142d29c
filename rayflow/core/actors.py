"""The calls of a virtual actor: a workflow that goes on for as long as somebody calls it.

A call is a graph whose root is a method. Methods run one after the other, each on the state that the one
before it has left; a call that continues as a graph ends with it. A result and the state that belongs to
it are one record. Calls that wait run in batches: later ones of a batch may begin before earlier ones are
durable, but none is recorded, and nobody is told of it, before those are. What is over is dropped from
memory: the journal has it.
"""

from __future__ import annotations

from collections import ChainMap, OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rayflow.core.graph import Graph, Item, StoredValue, task_facts
from rayflow.core.ids import Either
from rayflow.core.records import Fact, Record
from rayflow.core.tasks import TaskState, TaskStatus
from rayflow.core.turns import Turns

if TYPE_CHECKING:
    from rayflow.core.state import WorkflowState

CONSTRUCTOR = "__init__"
MIGRATION = "__migrate__"
REMEMBERED = 256  # calls whose ends are at hand without reading the journal

MOST_AT_ONCE = 32
_STEP = Item("steps", 0, 1)  # the place of the one method that runs within the graph of a call


@dataclass(frozen=True, slots=True)
class CallEnd:
    """How a call has ended: with a value, or with an error (type, message, traceback, task_id)."""

    value: StoredValue | None
    error: dict[str, Any] | None = None


class Calls:
    """The calls of one actor, and its state.

    Attributes:
        turns: whose turn it is.
        replays: a failed call runs again before the next one, instead of being over.
        state: what the methods that have run so far have left; None before the constructor has.
        code: the digest of the class.
        version: the position of the record that has left the state.
        open: the calls that have not ended, in order, each with the ids of its tasks.
        ended: how the last ones have ended.
        by_id: the calls by the ids that their callers have given them.
        active_at: the time of the last record (Unix seconds).
        leaves: nobody wants to have it at hand when it has nothing to do.
    """

    def __init__(self, accepted: dict[str, Any]) -> None:
        self.replays = bool(accepted.get("replays"))
        self.turns = Turns(accepted.get("batch") or MOST_AT_ONCE)
        self.state: StoredValue | None = None
        self.code = ""
        self.version = 0
        self.open: dict[str, set[str]] = {}
        self.ended: OrderedDict[str, CallEnd] = OrderedDict()
        self.by_id: dict[str, str] = {}
        self.active_at = 0.0
        self.leaves = False
        self._over: dict[str, set[str]] = {}  # ended calls of which something is in memory
        self._dropped: list[str] = []
        self._ids: dict[str, str] = {}  # of open calls, what their callers have called them
        self._outdated: list[str] = []  # keys of states that are not the last any more
        self._fresh: list[str] = []  # calls that have ended since somebody last asked
        # Of calls that are being recorded: their ids by their callers' ids, and those and the names of tasks.
        self._given: dict[str, str] = {}
        self._names: dict[str, int] = {}
        self._taken: set[str] = set()

    def add(self, task: TaskState, data: dict[str, Any]) -> None:
        """A task belongs to a call, or is a new one."""
        if task.method == CONSTRUCTOR and self.state is None:
            self.code = task.function
        if task.call == task.task_id:
            self.open[task.task_id] = set()
            if data.get("call_id"):
                self.by_id[data["call_id"]] = task.task_id
                self._ids[task.task_id] = data["call_id"]
        self.open.setdefault(task.call or "", set()).add(task.task_id)
        self._given.clear()
        self._names.clear()
        self._taken.clear()

    def facts(
        self, state: WorkflowState, graph: Graph, call_id: str, callers: tuple[str, ...]
    ) -> tuple[list[Fact], str]:
        """The facts of a new call and its id; none if its caller's id is known already.

        Calls may be recorded together with others, so what is asked here counts before it is applied.
        """
        known = self.by_id.get(call_id) or self._given.get(call_id)
        if known is not None:
            return [], known
        names = {name: state.names.get(name, 0) + n for name, n in self._names.items()}
        facts, call = task_facts(
            graph,
            Either(state, self._taken),
            ChainMap(names, state.names),
            is_stored=True,
            call_id=call_id,
        )
        self.leaves = False
        self._given[call_id] = call
        if callers:
            facts[graph.root].data["callers"] = list(callers)
        for fact in facts:
            self._taken.add(fact.task_id or "")
            name = fact.data["name"]
            self._names[name] = self._names.get(name, 0) + 1
        return facts, call

    def left(self, task: TaskState, record: Record) -> None:
        """A method has ended, or handed over, and has left a state."""
        described = record.data.get("state")
        if described is None:
            return
        stored = record.data.get("value")
        if self.state is not None and self.state.key is not None:
            self._outdated.append(self.state.key)
        skipped = 0 if stored is None or stored["key"] is not None else stored["size"]
        self.state = StoredValue.from_record(described, (record.value or b"")[skipped:])
        self.version = record.seq
        if task.method in (CONSTRUCTOR, MIGRATION):
            self.code = task.function

    def end(self, call: str, end: CallEnd) -> None:
        """A call has ended; what is left of it is wanted no more."""
        if call not in self.open:
            return
        self._over[call] = self.open.pop(call)
        self._fresh.append(call)
        self.turns.leave(call)
        self.ended[call] = end
        given = self._ids.pop(call, None)
        if given is not None and end.error is not None:  # whoever makes it again means it
            self.by_id.pop(given, None)
        if len(self.ended) > REMEMBERED:
            self.ended.popitem(last=False)

    def sweep(self, state: WorkflowState) -> None:
        """Drop the tasks of ended calls; those of which an attempt is under way are only unwanted."""
        for call, tasks in list(self._over.items()):
            for task_id in list(tasks):
                if task_id in state.in_flight:
                    state.tasks[task_id].status = TaskStatus.CANCELED
                    continue
                tasks.discard(task_id)
                state.drop(task_id)
                self._dropped.append(task_id)
            if not tasks:
                del self._over[call]

    def take_ended(self) -> list[str]:
        """The calls that have ended since somebody last asked."""
        fresh, self._fresh = self._fresh, []
        return fresh

    def take_outdated(self) -> list[str]:
        """The keys of earlier states, but for the last: somebody may be reading that."""
        outdated, self._outdated = self._outdated[:-1], self._outdated[-1:]
        return outdated

    def take_dropped(self) -> list[str]:
        """The tasks that were dropped since somebody last asked."""
        dropped, self._dropped = self._dropped, []
        return dropped


def is_call(task: TaskState) -> bool:
    """Whether a task is a call, and no part of one."""
    return task.call is not None and task.call == task.task_id


def place_of(task: TaskState) -> Item | None:
    """The place that a task needs while it runs, if it shares one with others."""
    return task.item if task.method is None or is_call(task) else _STEP
