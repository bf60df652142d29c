"""What has happened to a workflow, in the order in which it gets into the journal."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from rayflow.core.records import Fact
from rayflow.core.state import WorkflowState
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

    def _taken(self, happenings: deque[Happening]) -> list[Fact]:
        """The facts of those of ``happenings`` that may be in one commit."""
        facts: list[Fact] = []
        while happenings and not (facts and happenings[0].is_alone):
            happening = happenings.popleft()
            if self._must_wait(happening):
                self._held.append(happening)
                continue
            facts += happening.facts()
            if facts and happening.is_alone:
                break
        return facts

    def _must_wait(self, happening: Happening) -> bool:
        """Whether it rests on values that are not recorded yet, but may still be."""
        task_id = happening.about
        if task_id is None or task_id in self._state.outdated:
            return False
        task = self._state.tasks.get(task_id)  # None: dropped from a chain, so long recorded
        return task is not None and task.missing > 0
