"""The values of a live workflow's tasks, wherever they are: in the state, in memory, in Ray's object store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rayflow.core import provisional
from rayflow.core.graph import StoredValue
from rayflow.core.records import Kind, Record
from rayflow.core.state import WorkflowState
from rayflow.core.tasks import TaskState, TaskStatus


class LiveValues:
    """What the present owner knows of values beyond the journal. Gone with it."""

    def __init__(self, state: WorkflowState) -> None:
        self._state = state
        self._refs: dict[str, Any] = {}
        # Of tasks with checkpoint=False, and of those whose value is lent but not recorded.
        self._memory: dict[str, StoredValue] = {}

    def ref(self, task: TaskState) -> Any:
        """A reference to the value of ``task`` in Ray's object store, if it is there."""
        return self._refs.get(self.source(task))

    def stored(self, task: TaskState) -> StoredValue | None:
        """Where the value of ``task`` is stored, checkpointed or only in memory."""
        return task.value or self._memory.get(self.source(task))

    def source(self, task: TaskState) -> str:
        """The task that really made the value: the end of a chain of continuations."""
        while task.continued_to is not None and self._has_value(task.continued_to):
            task = self._state.tasks[task.continued_to]
        return task.task_id

    def keep(self, task_id: str, value: StoredValue, ref: Any, *, in_memory: bool) -> None:
        """An attempt has ended with ``value``; ``ref`` is its place in Ray's object store, if any."""
        if ref is not None and value.data is None:
            self._refs[task_id] = ref
        if in_memory:
            self._memory[task_id] = value

    def drop(self, task_id: str) -> None:
        """The value of an attempt has come to nothing."""
        self._refs.pop(task_id, None)
        self._memory.pop(task_id, None)

    def lost(self, task: TaskState, positions: Sequence[int]) -> None:
        """Objects with inputs of ``task`` are gone from Ray: use what is stored, also of the others.

        With one object others are usually lost, and each would cost an attempt.
        """
        upstream = [self._state.tasks[u] for u in task.upstream]
        for position, found in enumerate(upstream):
            if found.value is not None:
                self._refs.pop(self.source(found), None)
            elif position in positions:
                source = self.source(found)
                self.drop(source)
                # One that was only lent is there again when it is recorded.
                provisional.withdraw(self._state, source)

    def recorded(self, record: Record) -> None:
        """``record`` is durable: what it holds need not be remembered here."""
        if record.kind == Kind.SUCCEEDED and record.data["value"] is not None:
            self._memory.pop(record.task_id or "", None)

    def release_inputs(self, task: TaskState) -> None:
        """Let go of live values that no other consumer waits for: they are in the storage."""
        for upstream_id in task.upstream:
            upstream = self._state.tasks[upstream_id]
            if upstream.unread <= 1 and upstream_id != self._state.root and not upstream.volatile:
                self._refs.pop(self.source(upstream), None)

    def _has_value(self, task_id: str) -> bool:
        is_recorded = self._state.tasks[task_id].status is TaskStatus.SUCCESSFUL
        return is_recorded or task_id in self._state.provisional
