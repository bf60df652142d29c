"""What programs ask of the engine about the values of workflows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import suppress

from rayflow.errors import OutputNotAvailableError, WorkflowError, WorkflowRunningError
from rayflow.runtime.answers import Answers
from rayflow.runtime.references import Output
from rayflow.runtime.registry import Registry


class OutputCalls(ABC):
    """The part of the engine that gives out values."""

    _answers: Answers
    _registry: Registry

    @abstractmethod
    async def start(self) -> None:
        """Take over the root, once."""

    @abstractmethod
    async def resume(self, workflow_id: str, listener: str | None = None) -> None:
        """Continue a workflow from its checkpoints."""

    async def output(
        self, workflow_id: str, task_id: str | None = None, has_started: bool = False
    ) -> Output:
        """The output of a workflow or of one of its tasks; see :meth:`Answers.output`."""
        await self.start()
        try:
            return await self._answers.output(workflow_id, task_id, has_started)
        except WorkflowError as error:
            await self.start()  # if the root was lost meanwhile, that is the answer
            await self._registry.require_root()
            is_gone = isinstance(error, OutputNotAvailableError) and self._registry.has_ended_well(
                workflow_id
            )
            if not (has_started and is_gone):
                raise
        # Who has started it is owed the value, and it is gone: it was not to be stored.
        with suppress(WorkflowRunningError):  # somebody else was quicker
            await self.resume(workflow_id)
        return await self._answers.output(workflow_id, task_id, has_started)

    async def handed(self, workflow_id: str) -> tuple[Output] | None:
        """The output of a workflow for who has just started it, if it can travel over a line.

        None: ask for the :meth:`output` by a call of Ray, which alone carries references and failures as
        Ray's own.
        """
        try:
            output = await self.output(workflow_id, has_started=True)
        except WorkflowError:
            return None
        return None if output.is_live else (output,)
