"""Every error RayFlow raises, in one tree.

::

    WorkflowError
    ├── WorkflowExecutionError        the workflow failed; delivered to everyone who waits for it
    │   └── VirtualActorCallError     a call of a virtual actor failed
    ├── WorkflowCancellationError     the workflow was cancelled while someone waited for it
    ├── WorkflowNotResumableError     resume is impossible (unknown id, cancelled, checkpoints missing)
    │   └── WorkflowTaskNotRecoverableError  nothing is stored of what a resume would run
    ├── WorkflowNotFoundError         no workflow has this id
    │   └── VirtualActorNotFoundError no virtual actor has this id                   (also ValueError)
    ├── WorkflowStillActiveError      delete of a running or pending workflow
    │   └── WorkflowHasForksError     delete of a workflow whose results forks use
    ├── WorkflowNotForkableError      there is nothing to fork                       (also ValueError)
    ├── WorkflowRunningError          run or resume of a workflow that is running   (also RuntimeError)
    ├── WorkflowExistsError           the id is taken, a new workflow was asked for (also ValueError)
    ├── InvalidWorkflowIdError        an id that is no id                    (also ValueError and TypeError)
    ├── OutputNotAvailableError       there is no such output                          (also ValueError)
    ├── SerializationError            a value cannot be stored                          (also TypeError)
    ├── TaskLostError                 an exception that could not be stored, as text
    ├── TaskTimeoutError              an attempt ran longer than its timeout         (also TimeoutError)
    │   └── TaskHeartbeatError        an attempt gave no sign of life for too long
    ├── StaleAttemptError             progress was saved by an attempt that is over
    ├── WorkflowTimeoutError          names the error of a workflow that used up its workflow_timeout
    ├── SignalTimeoutError            nobody sent a signal, or answered, in time     (also TimeoutError)
    ├── ChildWorkflowError            a child workflow that a task waited for did not end well
    ├── WorkflowEndedError            a message to a workflow that has ended          (also ValueError)
    ├── VirtualActorNotInitializedError  the constructor of an actor has not run, or has failed
    ├── VirtualActorReentrancyError   a call would wait for itself                 (also RuntimeError)
    ├── InvalidPayloadError           a message does not fit the schema of its reader (also ValueError)
    ├── UnknownApprovalError          no such approval is asked for                   (also ValueError)
    ├── AlreadyAnsweredError          somebody else has answered an approval          (also ValueError)
    ├── NotAssignedError              an approval is for others to answer        (also PermissionError)
    ├── CodeUnavailableError          the code of a task cannot be loaded
    ├── UnknownDefinitionError        no definition has this name                        (also KeyError)
    ├── InvalidParametersError        parameters do not fit a definition               (also ValueError)
    ├── EngineUnavailableError        no engine can be reached
    ├── RootInUseError                another live engine owns the storage root
    └── StorageError
        ├── DataLoadError             stored bytes cannot be read
        │   ├── KeyNotFoundError      they are not there                              (also KeyError)
        │   └── JournalCorruptError   a committed batch of a journal is damaged
        ├── DataSaveError             bytes cannot be stored
        └── FencedError               a newer epoch owns the workflow

Errors keep their constructor arguments in ``args`` and build their text in ``__str__``, so that they
survive pickling between processes unchanged.
"""

from __future__ import annotations

from typing import Any


class WorkflowError(Exception):
    """The base of every error that RayFlow raises."""


class WorkflowExecutionError(WorkflowError):
    """A workflow failed. Attributes: ``workflow_id`` and ``error`` (type, message, traceback, task_id)."""

    def __init__(self, workflow_id: str, error: dict[str, Any] | None = None) -> None:
        super().__init__(workflow_id, error)
        self.workflow_id = workflow_id
        self.error = error or {}

    def __str__(self) -> str:
        error = self.error
        where = f" in task '{error['task_id']}'" if error.get("task_id") else ""
        what = f"{error.get('type', 'Error')}: {error.get('message', 'no details were recorded')}"
        traceback = error.get("traceback")
        tail = f"\n{traceback}" if traceback else ""
        return (
            f"Workflow '{self.workflow_id}' failed{where}: {what.rstrip('.')}. After removing the cause, "
            f"workflow.resume({self.workflow_id!r}) continues from the last checkpoints.{tail}"
        )


class _AboutWorkflow(WorkflowError):
    """An error about one workflow, with an optional sentence of detail."""

    sentence = "Something is wrong with workflow '{}'."

    def __init__(self, workflow_id: str, detail: str = "") -> None:
        super().__init__(workflow_id, detail)
        self.workflow_id = workflow_id
        self.detail = detail

    def __str__(self) -> str:
        text = self.sentence.format(self.workflow_id)
        return f"{text} {self.detail}" if self.detail else text


class WorkflowCancellationError(_AboutWorkflow):
    """The workflow was cancelled while someone waited for it."""

    sentence = "Workflow '{}' was cancelled; it has no output and cannot be resumed."


class WorkflowNotResumableError(_AboutWorkflow):
    """Resuming is impossible."""

    sentence = "Workflow '{}' cannot be resumed."


class WorkflowTaskNotRecoverableError(WorkflowNotResumableError):
    """Nothing is stored of what a resume would run."""


class WorkflowNotFoundError(_AboutWorkflow):
    """No workflow has this id."""

    sentence = "No workflow has the id '{}'; workflow.list_all() shows those that exist."


class WorkflowStillActiveError(_AboutWorkflow):
    """A running or pending workflow cannot be deleted."""

    sentence = "Workflow '{}' is still active; cancel it or let it finish before deleting it."


class WorkflowHasForksError(WorkflowStillActiveError):
    """A workflow cannot be deleted while forks use its results."""

    sentence = "Workflow '{}' cannot be deleted before its forks."


class WorkflowNotForkableError(_AboutWorkflow, ValueError):
    """There is nothing to fork."""

    sentence = "Workflow '{}' cannot be forked."


class WorkflowRunningError(_AboutWorkflow, RuntimeError):
    """A running or pending workflow cannot be run or resumed a second time."""

    sentence = "Workflow '{}' is already running or pending; wait for it or cancel it first."


class WorkflowExistsError(_AboutWorkflow, ValueError):
    """The id is taken."""

    sentence = "A workflow with the id '{}' exists already; choose another id or delete it first."


class InvalidWorkflowIdError(WorkflowError, ValueError, TypeError):
    """Something that is no workflow id: not a string, empty, not UTF-8, or over 1,024 bytes."""


class OutputNotAvailableError(WorkflowError, ValueError):
    """The workflow or task has no output to give, now or ever."""


class SerializationError(WorkflowError, TypeError):
    """A value cannot be turned into bytes."""


class TaskLostError(WorkflowError):
    """Stands for an exception that could not be stored. ``args``: type name, message, traceback."""

    def __init__(self, kind: str, message: str, traceback: str = "") -> None:
        super().__init__(kind, message, traceback)
        self.kind, self.message, self.traceback = kind, message, traceback

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"


class TaskTimeoutError(WorkflowError, TimeoutError):
    """An attempt ran longer than the ``timeout`` of its task. ``seconds`` is that limit."""

    sentence = (
        "Attempt {attempt} of task '{task_id}' of workflow '{workflow_id}' ran longer than its timeout "
        "of {seconds:g} s, so it was stopped. Allow it more with workflow.options(timeout=...), or "
        "divide its work among several tasks."
    )

    def __init__(self, workflow_id: str, task_id: str, attempt: int, seconds: float) -> None:
        super().__init__(workflow_id, task_id, attempt, seconds)
        self.workflow_id, self.task_id = workflow_id, task_id
        self.attempt, self.seconds = attempt, seconds

    def __reduce__(self) -> tuple[Any, ...]:
        # A TimeoutError is an OSError, which keeps no more than two of its arguments.
        arguments = (self.workflow_id, self.task_id, self.attempt, self.seconds)
        return type(self), arguments, self.__dict__

    def __str__(self) -> str:
        return self.sentence.format(
            attempt=self.attempt,
            task_id=self.task_id,
            workflow_id=self.workflow_id,
            seconds=self.seconds,
        )


class TaskHeartbeatError(TaskTimeoutError):
    """An attempt gave no sign of life for ``heartbeat_timeout`` seconds."""

    sentence = (
        "Attempt {attempt} of task '{task_id}' of workflow '{workflow_id}' gave no sign of life for its "
        "heartbeat_timeout of {seconds:g} s, so it was stopped. If it was not hung, call "
        "workflow.heartbeat() more often in it, or allow more with "
        "workflow.options(heartbeat_timeout=...)."
    )


class StaleAttemptError(WorkflowError):
    """An attempt saves progress although it is over: it was stopped, or its engine was overtaken."""

    def __init__(self, workflow_id: str, task_id: str, attempt: int) -> None:
        super().__init__(workflow_id, task_id, attempt)
        self.workflow_id, self.task_id, self.attempt = workflow_id, task_id, attempt

    def __str__(self) -> str:
        return (
            f"Attempt {self.attempt} of task '{self.task_id}' of workflow '{self.workflow_id}' is over, so its "
            "progress was not recorded. Let the task end: another attempt goes on from what was saved before."
        )


class WorkflowTimeoutError(WorkflowError, TimeoutError):
    """A workflow had no result when its ``workflow_timeout`` was over.

    Its name is the ``type`` in the ``error`` of the WorkflowExecutionError that waiters get.
    """


class SignalTimeoutError(WorkflowError, TimeoutError):
    """Nobody sent a signal, or answered an approval, in time. ``seconds`` is how long was waited."""

    def __init__(self, workflow_id: str, task_id: str, name: str, seconds: float) -> None:
        super().__init__(workflow_id, task_id, name, seconds)
        self.workflow_id, self.task_id = workflow_id, task_id
        self.name, self.seconds = name, seconds

    def __reduce__(self) -> tuple[Any, ...]:
        # A TimeoutError is an OSError, which keeps no more than two of its arguments.
        arguments = (self.workflow_id, self.task_id, self.name, self.seconds)
        return type(self), arguments, self.__dict__

    def __str__(self) -> str:
        return (
            f"Task '{self.task_id}' of workflow '{self.workflow_id}' waited {self.seconds:g} s for "
            f"'{self.name}', which did not come. Wait longer with timeout=..., or say with "
            "on_timeout=... what is to be done instead."
        )


class ChildWorkflowError(WorkflowError):
    """A child workflow that a task waited for has failed, was cancelled, or was deleted.

    Attributes: ``workflow_id`` and ``task_id`` (who waited), ``child_id``, ``status`` (the child's; NONE
    if it is deleted) and ``error`` (the child's: type, message, task_id).
    """

    def __init__(
        self,
        workflow_id: str,
        task_id: str,
        child_id: str,
        status: str,
        error: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(workflow_id, task_id, child_id, status, error)
        self.workflow_id, self.task_id = workflow_id, task_id
        self.child_id, self.status, self.error = child_id, status, error or {}

    def __str__(self) -> str:
        what = f": {self.error.get('type')}: {self.error.get('message')}" if self.error else ""
        how = "was deleted" if self.status == "NONE" else f"is {self.status}{what.rstrip('.')}"
        return (
            f"Child workflow '{self.child_id}', for which task '{self.task_id}' of workflow "
            f"'{self.workflow_id}' waited, {how}. workflow.resume({self.workflow_id!r}) continues both, "
            "if the child can be resumed."
        )


class WorkflowEndedError(_AboutWorkflow, ValueError):
    """A message to a workflow that has ended and will not read it."""

    sentence = "Workflow '{}' has ended, so it can be told nothing any more."


class VirtualActorNotFoundError(WorkflowNotFoundError, ValueError):
    """No virtual actor has this id; a workflow may have it."""

    sentence = "No virtual actor has the id '{}'; get_or_create makes one."


class VirtualActorNotInitializedError(_AboutWorkflow):
    """The constructor of a virtual actor has not run yet, or has failed."""

    sentence = (
        "Virtual actor '{}' is not initialized: its constructor has not run yet, or has failed. Wait for "
        "ready(); after a failure get_or_create runs the constructor again."
    )


class VirtualActorCallError(WorkflowExecutionError):
    """A call of a virtual actor failed; its state is as before. Attributes: those of the base, ``call``."""

    def __init__(self, workflow_id: str, call: str, error: dict[str, Any] | None = None) -> None:
        super().__init__(workflow_id, error)
        self.args = (workflow_id, call, error)
        self.call = call

    def __str__(self) -> str:
        error = self.error
        what = f"{error.get('type', 'Error')}: {error.get('message', 'no details were recorded')}"
        tail = f"\n{error['traceback']}" if error.get("traceback") else ""
        return (
            f"Call '{self.call}' of virtual actor '{self.workflow_id}' failed: {what.rstrip('.')}. The state "
            f"of the actor is as before it, and the calls after it go on.{tail}"
        )


class VirtualActorReentrancyError(_AboutWorkflow, RuntimeError):
    """A method waits for a call that cannot begin before the method has ended."""

    sentence = (
        "A method of virtual actor '{}' would wait for itself: the call that it makes has its turn after "
        "the method. Return self.method.step(...), or do not wait: run_async."
    )


class _AboutMessage(WorkflowError):
    """An error about one message to one workflow."""

    sentence = "The message '{name}' to workflow '{workflow_id}' was not accepted."

    def __init__(self, workflow_id: str, name: str, detail: str = "") -> None:
        super().__init__(workflow_id, name, detail)
        self.workflow_id, self.name, self.detail = workflow_id, name, detail

    def __str__(self) -> str:
        text = self.sentence.format(name=self.name, workflow_id=self.workflow_id)
        return f"{text} {self.detail}" if self.detail else text


class InvalidPayloadError(_AboutMessage, ValueError):
    """The payload of a message is no JSON, is too large, or does not fit the schema of its reader."""

    sentence = (
        "The payload of '{name}' for workflow '{workflow_id}' does not fit, nothing was stored."
    )


class UnknownApprovalError(_AboutMessage, ValueError):
    """No approval with this task id can be answered now."""

    sentence = "Task '{name}' of workflow '{workflow_id}' cannot be answered."


class AlreadyAnsweredError(_AboutMessage, ValueError):
    """Somebody has answered the approval before."""

    sentence = "The approval '{name}' of workflow '{workflow_id}' has been answered already."


class NotAssignedError(WorkflowError, PermissionError):
    """An approval is for others to answer. ``assignees`` are those who may."""

    def __init__(
        self, workflow_id: str, name: str, by: str | None, assignees: tuple[str, ...]
    ) -> None:
        super().__init__(workflow_id, name, by, assignees)
        self.workflow_id, self.name = workflow_id, name
        self.by, self.assignees = by, assignees

    def __reduce__(self) -> tuple[Any, ...]:
        # A PermissionError is an OSError, which keeps no more than two of its arguments.
        arguments = (self.workflow_id, self.name, self.by, self.assignees)
        return type(self), arguments, self.__dict__

    def __str__(self) -> str:
        return (
            f"The approval '{self.name}' of workflow '{self.workflow_id}' is not for "
            f"{self.by or 'an unnamed person'} to answer, but for {', '.join(self.assignees)}."
        )


class CodeUnavailableError(WorkflowError):
    """The code of a task cannot be loaded here; the text names the module that is missing."""


class UnknownDefinitionError(WorkflowError, KeyError):
    """No definition has this name."""

    def __init__(self, name: str, known: tuple[str, ...] = ()) -> None:
        super().__init__(name, known)
        self.name, self.known = name, known

    def __str__(self) -> str:
        known = ", ".join(sorted(self.known)) or "none; set RAYFLOW_FLOWS"
        return f"No definition is called '{self.name}'. Known definitions: {known}."


class InvalidParametersError(WorkflowError, ValueError):
    """Parameters do not fit a definition. ``errors``: a list of {"pointer", "detail"}."""

    def __init__(self, name: str, errors: list[dict[str, str]]) -> None:
        super().__init__(name, errors)
        self.name, self.errors = name, errors

    def __str__(self) -> str:
        problems = "; ".join(f"{e['pointer'] or '/'}: {e['detail']}" for e in self.errors)
        return f"The parameters do not fit definition '{self.name}': {problems}."


class EngineUnavailableError(WorkflowError):
    """No engine can be reached: Ray is down, or the engine did not answer."""


class RootInUseError(WorkflowError):
    """Another engine with a fresh heartbeat owns the storage root."""


class StorageError(WorkflowError):
    """The storage did not do what was asked; the text names the key and the cause."""


class DataLoadError(StorageError):
    """Stored bytes cannot be read."""


class KeyNotFoundError(DataLoadError, KeyError):
    """A key of the storage is not there."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""  # a KeyError shows the repr


class JournalCorruptError(DataLoadError):
    """A committed batch of a journal is damaged. It is never loaded."""


class DataSaveError(StorageError):
    """Bytes cannot be stored."""


class FencedError(StorageError):
    """A newer epoch owns the workflow; this owner must let go."""
