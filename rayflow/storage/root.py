"""Opening a storage root from what a user wrote."""

from __future__ import annotations

import uuid
from urllib.parse import unquote, urlsplit

from rayflow.errors import DataSaveError, StorageError
from rayflow.storage.local import LocalStore
from rayflow.storage.objects import ObjectStore
from rayflow.storage.store import Store


def open_store(uri: str) -> Store:
    """The store for a path, a ``file://`` URI, or any URI that ``pyarrow.fs`` knows.

    Raises:
        ValueError: ``uri`` is empty.
        StorageError: nothing can be opened there.
    """
    if not uri:
        raise ValueError("The storage is empty; give a path or a URI such as s3://bucket/path.")
    parts = urlsplit(uri)
    if len(parts.scheme) <= 1:  # no scheme, or the drive letter of a Windows path
        return LocalStore(uri)
    if parts.scheme == "file":
        return LocalStore(unquote(parts.path))
    return ObjectStore(uri)


def check_writable(store: Store) -> None:
    """Write, read back and delete a marker.

    Raises:
        StorageError: the root cannot be used; the text says why.
    """
    key, content = f"check/{uuid.uuid4().hex}", b"rayflow"
    store.write(key, [content])
    try:
        if store.read(key) != content:
            raise DataSaveError(f"The storage {store.uri} does not give back what was written.")
    except KeyError:
        raise StorageError(f"The storage {store.uri} lost a key it had just written.") from None
    finally:
        store.delete(key)
