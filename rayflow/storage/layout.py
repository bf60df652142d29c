"""Every key of a storage root. No key is built anywhere else."""

from __future__ import annotations

from rayflow.core.ids import key_segment, shard

OWNER = "index/owner.json"
INDEX = "index/log"
REDO = "redo"
WORKFLOWS = "workflows"
ENGINES = "index/engines.json"  # how many engines share the root; one, if it is not there
MARKER = "check/engine"  # the instance of the engine, by which others see that they share the root


def of_engine(key: str, number: int) -> str:
    """One of the keys above for the engine with this number: the first one's are as they stand."""
    return key if number == 0 else f"engines/{number}/{key}"


def workflow(workflow_id: str) -> str:
    """The folder that holds everything of one workflow."""
    return f"{WORKFLOWS}/{shard(workflow_id)}/{key_segment(workflow_id)}"


def journal(workflow_id: str) -> str:
    """The folder with a workflow's epochs."""
    return f"{workflow(workflow_id)}/journal"


def relays(workflow_id: str, epoch: int | None = None) -> str:
    """The folder with the relays of a workflow, or with those for one of its owners."""
    folder = f"{journal(workflow_id)}/relays"
    return folder if epoch is None else f"{folder}/{epoch:06d}"


def relay(workflow_id: str, epoch: int, number: int) -> str:
    """The file of one of them."""
    return f"{relays(workflow_id, epoch)}/{number:06d}.ndjson"


def value(workflow_id: str, task_id: str, unique: str) -> str:
    """A value too large for a record: a result, or the arguments of a task."""
    return f"{workflow(workflow_id)}/values/{key_segment(task_id)}/{unique}"


def artifact(workflow_id: str, name: str) -> str:
    """A file that a task of the user has put beside its workflow."""
    return f"{workflow(workflow_id)}/artifacts/{'/'.join(map(key_segment, name.split('/')))}"


def log(workflow_id: str, task_id: str, attempt: int) -> str:
    """What an attempt has printed: a file of this name and ``.ndjson``, or a folder with its parts."""
    return f"{workflow(workflow_id)}/logs/{key_segment(task_id)}/{attempt:06d}"


def forks(workflow_id: str) -> str:
    """The folder with a mark for each fork that uses a workflow's values."""
    return f"{workflow(workflow_id)}/forks"


def fork(workflow_id: str, fork_id: str) -> str:
    """The mark of one of them; its content is the fork's id."""
    return f"{forks(workflow_id)}/{key_segment(fork_id)}"


def lenders(fork_id: str) -> str:
    """The ids of the workflows whose values a fork uses, as JSON; there is none for other workflows."""
    return f"{workflow(fork_id)}/lenders.json"


def function(digest: str) -> str:
    """The code of a task, stored once per content."""
    return f"functions/{digest[:2]}/{digest}"


def package(name: str) -> str:
    """A package of a ``runtime_env``: a ``working_dir`` or one of the ``py_modules``."""
    return f"packages/{key_segment(name)}"
