"""What an engine answers to questions about a workflow; asking changes nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from rayflow.core.records import Record
from rayflow.errors import WorkflowCancellationError
from rayflow.runtime import metadata, results
from rayflow.runtime.commits import Io
from rayflow.runtime.floor import Floor
from rayflow.runtime.references import Output
from rayflow.runtime.registry import Registry

Load = Callable[[str], Awaitable[list[Record]]]


class Answers:
    """Answers from the live workflows, else from the journals."""

    def __init__(self, storage: str, floor: Floor, registry: Registry, load: Load, io: Io) -> None:
        self._storage, self._floor, self._registry = storage, floor, registry
        self._load, self._io = load, io

    async def metadata(self, workflow_id: str, task_id: str | None) -> dict[str, Any]:
        """What ``get_metadata`` returns, from the committed journal.

        Raises:
            ValueError: no such workflow or task.
        """
        entry = self._registry.entries.get(workflow_id)
        if entry is None:
            raise ValueError(f"No such workflow_id '{workflow_id}'")
        records = await self._load(workflow_id)
        status = self._floor.status(workflow_id, entry.status)
        if task_id is None:
            return metadata.of_workflow(records, status)
        return metadata.of_task(records, workflow_id, task_id, status)

    async def output(self, workflow_id: str, task_id: str | None, has_started: bool) -> Output:
        """The output of a workflow or of one of its tasks; waits while the workflow is live.

        ``has_started``: who asks has just started it, so how it ended is the answer even if it has
        ended already.

        Raises:
            WorkflowExecutionError, WorkflowCancellationError: a live workflow ended so.
            OutputNotAvailableError: there is no such output.
        """
        live = self._floor.live.get(workflow_id)
        waited = has_started or live is not None
        if has_started and live is None:
            live = self._floor.recent.get(workflow_id)
        if live is not None:
            found = await live.output(self._storage, task_id)
            if found is not None:
                return found
        entry = self._registry.entries.get(workflow_id)
        if entry is None:
            if waited:
                raise WorkflowCancellationError(workflow_id, "It was deleted meanwhile.")
            raise results.unknown(workflow_id)
        records = await self._load(workflow_id)
        output: Output = await self._io(
            lambda: results.from_journal(
                self._storage, records, workflow_id, task_id, waited=waited, status=entry.status
            )
        )
        return output
