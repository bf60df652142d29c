"""The places of live workflows, slots and the queue, where several engines share the limits.

The first engine keeps them for all. The others ask it, and remember what they have been given: when the
first one is started anew, it learns from them what is taken before it gives anything away. Each of its
lives is a *reign*, with a higher number than those before; what one of those has said and is heard only now does not
count.
"""

from __future__ import annotations

import queue
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from rayflow.config import Limits
from rayflow.errors import EngineUnavailableError
from rayflow.runtime.admission import Admission


class Places(Protocol):
    """Where workflows take their places."""

    async def enter(self, workflow_id: str) -> bool:
        """Take a slot (True) or a place in the queue (False).

        Raises:
            queue.Full: both are taken.
            EngineUnavailableError: whoever keeps them does not run.
        """

    def leave(self, workflow_id: str) -> None:
        """Give up the slot or the place, if it has one. A slot goes to the next one in the queue."""


@dataclass(slots=True)
class Held:
    """A place that an engine was given. ``token`` tells one life of a workflow from the next."""

    workflow_id: str
    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    is_running: bool = False
    since: float = field(default_factory=time.time)


class OwnPlaces:
    """The places themselves. ``promote`` hears of each workflow that moves from the queue into a slot."""

    def __init__(self, limits: Limits, promote: Callable[[str], None]) -> None:
        self._admission, self._promote = Admission(limits), promote
        self._tokens: dict[str, str] = {}  # of the workflows of other engines
        self.reign = 0

    async def enter(self, workflow_id: str) -> bool:
        return self._admission.enter(workflow_id)

    def leave(self, workflow_id: str) -> None:
        self._admission.leave(workflow_id)
        self._give_away()

    def enter_for(self, workflow_id: str, token: str) -> bool:
        """Take a place for a workflow of another engine; one that has a place keeps it.

        Raises:
            queue.Full: there is none.
        """
        may_run = self._admission.has(workflow_id)
        if may_run is None:
            may_run = self._admission.enter(workflow_id)
        self._tokens[workflow_id] = token
        return may_run

    def leave_for(self, workflow_id: str, token: str) -> None:
        """Give up a place, unless a later life of the workflow has it."""
        if self._tokens.get(workflow_id) == token:
            del self._tokens[workflow_id]
            self.leave(workflow_id)

    def restore(self, held: Iterable[Held], *, is_running: bool) -> None:
        """Take the places that other engines were given: slots, or those in the queue."""
        for each in sorted(held, key=lambda each: each.since):
            if each.is_running == is_running:
                self._tokens[each.workflow_id] = each.token
                self._admission.restore(each.workflow_id, is_running=is_running)
        self._give_away()

    def keep_only(self, kept: dict[str, str], is_theirs: Callable[[str], bool]) -> None:
        """Of the places of one engine, keep those that it still has, by their tokens."""
        for workflow_id, token in list(self._tokens.items()):
            if is_theirs(workflow_id) and kept.get(workflow_id) != token:
                self.leave_for(workflow_id, token)

    def _give_away(self) -> None:
        for promoted in self._admission.promoted():
            self._promote(promoted)


class FarPlaces:
    """What an engine has been given by the first one.

    ``ask`` calls that one, ``spawn`` lets work run beside everything else.
    """

    def __init__(
        self,
        ask: Callable[..., Awaitable[Any]],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        promote: Callable[[str], None],
    ) -> None:
        self._ask, self._spawn, self._promote = ask, spawn, promote
        self._held: dict[str, Held] = {}
        self._reign = 0

    async def enter(self, workflow_id: str) -> bool:
        held = self._held[workflow_id] = Held(workflow_id)
        try:
            may_run, reign = await self._ask("enter", workflow_id, held.token)
            while reign < self._reign:
                may_run, reign = await self._ask("enter", workflow_id, held.token)
        except queue.Full:
            del self._held[workflow_id]
            raise
        except BaseException:
            self.leave(workflow_id)  # it may have been given one
            raise
        held.is_running |= may_run  # or it has been promoted meanwhile
        return bool(may_run)

    def holdings(self, reign: int) -> list[Held]:
        """All that this engine has been given, for a first engine that has been started anew."""
        self._reign = max(self._reign, reign)
        return list(self._held.values())

    def kept(self) -> dict[str, str]:
        """The workflows that have a place, and their tokens."""
        return {held.workflow_id: held.token for held in self._held.values()}

    def leave(self, workflow_id: str) -> None:
        held = self._held.pop(workflow_id, None)
        if held is not None:
            self._spawn(self._tell("leave", workflow_id, held.token))

    def promoted(self, workflow_id: str, reign: int) -> None:
        """The first engine has moved a workflow from the queue into a slot."""
        held = self._held.get(workflow_id)
        if held is not None and not held.is_running and reign >= self._reign:
            held.is_running = True
            self._promote(workflow_id)

    async def _tell(self, *said: str) -> None:
        with suppress(EngineUnavailableError):  # the next first engine asks what is held
            await self._ask(*said)
