"""Opening a storage root from its address, and checking that it can be used."""

from __future__ import annotations

import socket
import threading
import uuid
from collections.abc import Callable

from pyarrow import fs

from rayflow.errors import DataSaveError, StorageError
from rayflow.storage import layout
from rayflow.storage.address import is_uri, name_of, parse
from rayflow.storage.filesystems import call_factory, open_filesystem
from rayflow.storage.local import LocalStore
from rayflow.storage.objects import ObjectStore
from rayflow.storage.store import Store

CHECK_SECONDS = 15.0


def open_store(storage: object) -> Store:
    """The store of a root: what a user gave, or its address.

    Raises:
        TypeError, ValueError: it is no storage, or empty.
        StorageError: nothing can be opened there.
    """
    address = parse(storage)
    if not is_uri(address):
        return LocalStore(address)
    if not address.startswith("custom:"):
        return ObjectStore(address, *open_filesystem(address))
    made = call_factory(address)
    if isinstance(made, Store):
        return made
    filesystem, base = made
    if isinstance(filesystem, fs.LocalFileSystem):
        return LocalStore(base)
    return ObjectStore(address, filesystem, base)


def check_writable(store: Store, *, seconds: float = CHECK_SECONDS) -> None:
    """Write, read back and delete a marker.

    Raises:
        StorageError: the root cannot be used, or does not answer in time; the text says why.
    """
    _within(seconds, lambda: _try_marker(store), store.uri)


def mark(store: Store, instance: str) -> None:
    """Say which engine owns the root, for :func:`check_shared` to find."""
    store.write(layout.MARKER, [instance.encode()])


def check_shared(address: str, instance: str, where: str) -> None:
    """See to it that this process sees the very root that the engine ``instance`` writes to.

    Raises:
        StorageError: it does not; the text names ``where`` and says what to do.
    """
    try:
        _within(CHECK_SECONDS, lambda: _find_marker(address, instance), name_of(address))
    except StorageError as error:
        raise StorageError(
            f"The storage {name_of(address)} is not shared with {where} ({socket.gethostname()}): "
            f"{str(error).rstrip('.')}. Use a folder that is mounted on every node, or an object "
            "store such as s3://bucket/path with its credentials on every node."
        ) from error


def _try_marker(store: Store) -> None:
    key, content = f"check/{uuid.uuid4().hex}", b"rayflow"
    store.write(key, [content])
    try:
        if store.read(key) != content:
            raise DataSaveError(f"The storage {store.uri} does not give back what was written.")
    except KeyError:
        raise StorageError(f"The storage {store.uri} lost a key it had just written.") from None
    finally:
        store.delete(key)


def _find_marker(address: str, instance: str) -> None:
    try:
        found = open_store(address).read(layout.MARKER).decode()
    except KeyError:
        raise StorageError("What the engine wrote is not there.") from None
    if found != instance:
        raise StorageError("What is there was written by another engine.")


def _within(seconds: float, work: Callable[[], None], name: str) -> None:
    """Do it in a thread that may be left behind: clients retry for minutes, and some for ever."""
    failed: list[Exception] = []

    def attempt() -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 (raised again by whoever waits)
            failed.append(error)

    thread = threading.Thread(target=attempt, name="rayflow-check", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise StorageError(
            f"The storage {name} did not answer within {seconds:g} seconds. "
            "Look at its address and the network, then try again."
        )
    if failed:
        raise failed[0]
