"""What an engine answers to questions about a workflow; asking changes nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from rayflow.core.records import Record
from rayflow.errors import WorkflowCancellationError
from rayflow.runtime import metadata, results
from rayflow.runtime.live import LiveWorkflow
from rayflow.runtime.references import Output
from rayflow.runtime.registry import Io, Registry

Load = Callable[[str], Awaitable[list[Record]]]


class Answers:
    """Answers from the live workflows, else from the journals."""

    def __init__(
        self, storage: str, live: dict[str, LiveWorkflow], registry: Registry, load: Load, io: Io
    ) -> None:
        self._storage, self._live, self._registry = storage, live, registry
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
        if task_id is None:
            return metadata.of_workflow(records, entry.status)
        return metadata.of_task(records, workflow_id, task_id, entry.status)

    async def output(self, workflow_id: str, task_id: str | None) -> Output:
        """The output of a workflow or of one of its tasks; waits while the workflow is live.

        Raises:
            WorkflowExecutionError, WorkflowCancellationError: a live workflow ended so.
            OutputNotAvailableError: there is no such output.
        """
        live = self._live.get(workflow_id)
        if live is not None:
            found = await live.output(self._storage, task_id)
            if found is not None:
                return found
        entry = self._registry.entries.get(workflow_id)
        if entry is None:
            if live is not None:
                raise WorkflowCancellationError(workflow_id, "It was deleted meanwhile.")
            raise results.unknown(workflow_id)
        records, waited = await self._load(workflow_id), live is not None
        output: Output = await self._io(
            lambda: results.from_journal(
                self._storage, records, workflow_id, task_id, waited=waited, status=entry.status
            )
        )
        return output
