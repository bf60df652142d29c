"""What has happened to a workflow, in the order in which it gets into the journal."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from rayflow.core import provisional
from rayflow.core.records import Fact, Kind
from rayflow.core.state import WorkflowState
from rayflow.core.tasks import TaskStatus
from rayflow.runtime.surroundings import Clock


@dataclass(slots=True)
class Happening:
    """Something has happened; what facts follow from it is asked when its turn has come.

    Starts and plain successes do not depend on each other. Whatever else follows from an outcome
    depends on the state (names in use, who is still without a value), so it is alone in its commit.
    What happens to a task ``about`` which it is has its turn when the task's inputs are recorded.
    """

    facts: Callable[[], list[Fact]]
    is_alone: bool = True
    about: str | None = None


class Inbox:
    """The happenings whose turn has not come."""

    def __init__(self, state: WorkflowState, clock: Clock) -> None:
        self._state, self._clock = state, clock
        self._new: list[Happening] = []
        self._held: list[Happening] = []
        self._wake = asyncio.Event()

    def put(
        self, facts: Callable[[], list[Fact]], *, is_alone: bool = True, about: str | None = None
    ) -> None:
        """Something has happened, see :class:`Happening`."""
        self._new.append(Happening(facts, is_alone, about))
        self.wake()

    def wake(self) -> None:
        """Let whoever waits for facts look again at what is to be done."""
        self._wake.set()

    async def facts(self, wake_at: float | None) -> list[Fact]:
        """Wait until something has happened, or until ``wake_at``; the facts of what has."""
        self._give_up()
        self._new = [h for h in self._held if not self._must_wait(h)] + self._new
        self._held = [h for h in self._held if self._must_wait(h)]
        if not self._new:
            if wake_at is None:
                await self._wake.wait()
            else:
                await self._clock.wait(self._wake, max(0.0, wake_at - self._clock.now()))
        self._wake.clear()
        happenings, self._new = deque(self._new), []
        facts = self._taken(happenings)
        if happenings:
            self._new = [*happenings, *self._new]
            self._wake.set()
        return facts

    def _give_up(self) -> None:
        """What waits for inputs that do not come any more need not wait: nothing comes of it."""
        for about in {h.about for h in self._held}:
            if about in self._state.in_flight and provisional.is_in_vain(self._state, about):
                self._state.outdated.add(about)

    def _taken(self, happenings: deque[Happening]) -> list[Fact]:
        """The facts of those of ``happenings`` that may be in one commit."""
        facts: list[Fact] = []
        with_value: set[str | None] = set()
        while happenings and not (facts and happenings[0].is_alone):
            happening = happenings.popleft()
            if self._must_wait(happening, with_value):
                self._held.append(happening)
                continue
            new = happening.facts()
            with_value.update(fact.task_id for fact in new if fact.kind is Kind.SUCCEEDED)
            facts += new
            if facts and happening.is_alone:
                break
        return facts

    def _must_wait(
        self, happening: Happening, with_value: AbstractSet[str | None] = frozenset()
    ) -> bool:
        """Whether it rests on values that are not recorded yet, but may still be.

        ``with_value``: tasks whose values are about to be recorded, before it in the same commit.
        """
        task_id = happening.about
        if task_id is None or task_id in self._state.outdated:
            return False
        task = self._state.tasks.get(task_id)  # None: dropped from a chain, so long recorded
        if task is None or not task.missing or task.status is not TaskStatus.PENDING:
            return False  # if it is canceled, nothing of it is recorded any more
        return happening.is_alone or task.missing > len(with_value & set(task.upstream))
