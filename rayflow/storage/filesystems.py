"""Opening what an address names: URIs, file systems given as objects, and custom factories."""

from __future__ import annotations

from importlib import import_module
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from pyarrow import fs

from rayflow.errors import DataLoadError
from rayflow.storage import address as addresses
from rayflow.storage.store import Store

_CREDENTIALS = ("access_key", "secret_key")


def open_filesystem(address: str) -> tuple[fs.FileSystem, str]:
    """The file system and the base path of an address.

    Raises:
        DataLoadError: nothing can be opened there.
    """
    if address.startswith(addresses.OBJECT):
        return addresses.load_object(address)
    try:
        filesystem, path = fs.FileSystem.from_uri(_as_pyarrow(address))
    except (ValueError, OSError) as error:
        # Without the cause, which may quote the credentials.
        raise DataLoadError(
            f"'{addresses.name_of(address)}' is no storage that pyarrow can open: "
            f"{addresses.redact(error, address)}."
        ) from None
    return filesystem, path


def call_factory(address: str) -> Store | tuple[fs.FileSystem, str]:
    """What the factory of ``custom://module.factory/path`` makes of the path.

    It may return a store, a file system in which the path is the base, or, as with the old library,
    a file system and another base.

    Raises:
        DataLoadError: it cannot be imported, it fails, or it returns something else.
    """
    parts = urlsplit(address)
    try:
        made = _imported(parts.netloc)(parts.path)
    except Exception as error:  # whatever user code raises
        raise DataLoadError(
            f"The storage factory '{parts.netloc}' cannot be used: {type(error).__name__}: {error}. "
            "It must be importable on every node, as module.function."
        ) from error
    if isinstance(made, Store):
        return made
    if isinstance(made, fs.FileSystem):
        return made, parts.path
    if isinstance(made, tuple) and len(made) == 2 and isinstance(made[0], fs.FileSystem):
        return made
    raise DataLoadError(
        f"The storage factory '{parts.netloc}' returned {type(made).__name__}; it must return a "
        "rayflow Store or a pyarrow.fs.FileSystem."
    )


def _imported(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    return getattr(import_module(module), attribute)


def _as_pyarrow(address: str) -> str:
    """Credentials from the query to where pyarrow looks for them, in the user-info."""
    parts = urlsplit(address)
    query = parse_qsl(parts.query, keep_blank_values=True)
    given = dict(query)
    if not all(key in given for key in _CREDENTIALS):
        return address
    user = ":".join(quote(given[key], safe="") for key in _CREDENTIALS)
    rest = urlencode([(key, value) for key, value in query if key not in _CREDENTIALS])
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{user}@{host}", query=rest).geturl()
