"""Whose turn it is among the calls of an actor: the first that are ready, a few of them at a time."""

from __future__ import annotations

from bisect import insort


class Turns:
    """The calls that are ready, in the order in which they first were, and those that have their turn.

    A call has its turn until it ends; one of which nothing has come goes back to its place.

    Attributes:
        most: how many calls may have their turn at once; one worker runs them one after the other.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._places: dict[str, int] = {}
        self._waiting: list[tuple[int, str]] = []
        self._taken: dict[str, int] = {}
        self._ending: set[str] = set()  # those whose outcomes are being recorded
        self._next = 0

    @property
    def waiting(self) -> list[str]:
        """Those that may have the next turn, in order: none while somebody has it."""
        return [] if self._taken else [call for _, call in self._waiting[: self.most]]

    def queue(self, call: str) -> None:
        """A call is ready, for the first time or again."""
        place = self._place(call)
        self._taken.pop(call, None)
        self._ending.discard(call)
        if (place, call) not in self._waiting:
            insort(self._waiting, (place, call))

    def take(self, call: str) -> None:
        """A call has its turn."""
        place = self._place(call)
        self._taken[call] = place
        if (place, call) in self._waiting:
            self._waiting.remove((place, call))

    def leave(self, call: str) -> None:
        """A call has ended."""
        place = self._places.pop(call, None)
        self._taken.pop(call, None)
        self._ending.discard(call)
        if place is not None and (place, call) in self._waiting:
            self._waiting.remove((place, call))

    def end(self, call: str) -> None:
        """What has become of a call is about to be recorded, together with what follows."""
        self._ending.add(call)

    def _place(self, call: str) -> int:
        if call not in self._places:
            self._next += 1
            self._places[call] = self._next
        return self._places[call]

    def is_first(self, call: str) -> bool:
        """Whether what becomes of a call may be recorded: no call before it still has its turn."""
        place = self._taken.get(call, -1)
        return all(p >= place or c in self._ending for c, p in self._taken.items())
