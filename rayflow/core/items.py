"""How many of the items that one list was mapped to may be under way at once."""

from __future__ import annotations

from rayflow.core.graph import Item


class Places:
    """The places of the items of each list: who has one, and who waits for one, in order."""

    def __init__(self) -> None:
        self._taken: dict[str, set[str]] = {}
        self._waiting: dict[str, dict[str, None]] = {}

    def take(self, task_id: str, item: Item | None) -> bool:
        """Whether a task may start: it has a place, or is given one. If not, it waits for one."""
        if item is None or item.limit is None:
            return True
        taken = self._taken.setdefault(item.of, set())
        if task_id not in taken and len(taken) >= item.limit:
            self._waiting.setdefault(item.of, {})[task_id] = None
            return False
        taken.add(task_id)
        return True

    def leave(self, task_id: str, item: Item | None) -> str | None:
        """A task is over, or will not run: who has waited longest may ask for its place."""
        if item is None or item.limit is None:
            return None
        waiting = self._waiting.get(item.of, {})
        waiting.pop(task_id, None)
        taken = self._taken.get(item.of, set())
        if task_id not in taken:
            return None
        taken.discard(task_id)
        following = next(iter(waiting), None)
        if following is not None:
            del waiting[following]
        return following
