"""A storage root seen from a machine that does not see it: every operation runs on the cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import ray
from ray.util import client

from rayflow.errors import DataLoadError, DataSaveError, StorageError
from rayflow.storage.address import name_of
from rayflow.storage.root import open_store
from rayflow.storage.store import Buffer, Store

MESSAGE_BYTES = 100 * 1024  # Ray Client warns of larger messages


def is_far() -> bool:
    """Whether this process is a Ray Client (``ray://``): it may see nothing of the cluster's disks."""
    return bool(client.ray.is_connected())  # type: ignore[no-untyped-call]


class FarStore(Store):
    """The :class:`Store` contract for a Ray Client; each operation is one task without CPUs."""

    def __init__(self, address: str) -> None:
        self.uri = name_of(address)
        self._address = address
        # Ray does not repeat it: a repeated write could meet what the first one left.
        self._task: Any = ray.remote(num_cpus=0, max_retries=0)(_operate)

    def __reduce__(self) -> tuple[type[FarStore], tuple[str]]:
        return FarStore, (self._address,)

    @property
    def appends(self) -> bool:  # type: ignore[override]
        """Whether :meth:`append` works."""
        answer: bool = self._ask(DataLoadError, "appends")
        return answer

    def read(self, key: str, offset: int = 0) -> bytes:
        """The bytes of ``key``; see :meth:`Store.read`."""
        found: bytes = self._ask(DataLoadError, "read", key, offset)
        return found

    def read_part(self, key: str, offset: int, length: int) -> bytes:
        """A part of ``key``; see :meth:`Store.read_part`."""
        found: bytes = self._ask(DataLoadError, "read_part", key, offset, length)
        return found

    def size(self, key: str) -> int | None:
        """The length of ``key``; see :meth:`Store.size`."""
        found: int | None = self._ask(DataLoadError, "size", key)
        return found

    def write(self, key: str, parts: Sequence[Buffer], *, if_absent: bool = False) -> None:
        """Store ``parts`` under ``key``; see :meth:`Store.write`."""
        self._ask(DataSaveError, "write", key, _portable(parts), if_absent=if_absent)

    def append(self, key: str, offset: int, data: Buffer) -> None:
        """Put ``data`` at ``offset``; see :meth:`Store.append`."""
        self._ask(DataSaveError, "append", key, offset, bytes(data))

    def list(self, prefix: str) -> list[tuple[str, Literal["file", "folder"]]]:
        """What is directly below ``prefix``; see :meth:`Store.list`."""
        found: list[tuple[str, Literal["file", "folder"]]] = self._ask(
            DataLoadError, "list", prefix
        )
        return found

    def delete(self, prefix: str) -> None:
        """Remove ``prefix``; see :meth:`Store.delete`."""
        self._ask(DataSaveError, "delete", prefix)

    def _ask(
        self, failure: Callable[[str], StorageError], name: str, *args: Any, **kwargs: Any
    ) -> Any:
        """Do it on the cluster. What the store raises there arrives here as itself."""
        try:
            return ray.get(self._task.remote(self._address, name, args, kwargs))
        except ray.exceptions.RayTaskError as error:
            cause = error.cause
            if isinstance(cause, (StorageError, FileExistsError, KeyError)):
                raise cause from None
            raise failure(self._text(name, error)) from error
        except (ray.exceptions.RayError, ConnectionError) as error:
            raise failure(self._text(name, error)) from error

    def _text(self, name: str, error: Exception) -> str:
        return (
            f"The cluster could not {name} in the storage {self.uri} for this Ray Client: {error}. "
            "Look at the Ray cluster, then try again."
        )


def _portable(parts: Sequence[Buffer]) -> list[Any]:
    """Parts as Ray Client takes them: views of memory cannot travel, and large ones go as objects."""
    copies = [part if isinstance(part, bytes) else bytes(part) for part in parts]
    return [ray.put(copy) if len(copy) > MESSAGE_BYTES else copy for copy in copies]


def _operate(address: str, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Runs on the cluster."""
    asked = getattr(open_store(address), name)
    if name == "write":
        key, parts = args
        args = key, [ray.get(p) if isinstance(p, ray.ObjectRef) else p for p in parts]
    return asked(*args, **kwargs) if callable(asked) else asked
