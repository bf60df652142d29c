"""Addresses of roots: one text that opens a root in any process, and its name without secrets.

An address is an absolute path, a URI, or ``filesystem:`` with a pickled ``pyarrow.fs.FileSystem`` and
a base path. It may hold credentials, so only :func:`name_of` it is ever shown, logged or compared.
"""

from __future__ import annotations

import base64
import os
import pickle
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import cloudpickle
from pyarrow import fs

from rayflow.errors import StorageError

OBJECT = "filesystem:"
HIDDEN = "***"
Storage = str | os.PathLike[str] | tuple[fs.FileSystem, str]
_SHOWN = ("endpoint_override", "region", "scheme")
_SCHEMES = {"gcs": "gs"}  # pyarrow's name of a file system, where its URI has another


def parse(storage: object) -> str:
    """The address of what a user gave: a path, a URI, or a pair (file system, base path).

    Raises:
        TypeError: it is none of these.
        ValueError: it is empty.
        StorageError: it cannot travel to the workers, or is no URI.
    """
    if isinstance(storage, os.PathLike):
        storage = os.fspath(storage)
    if isinstance(storage, tuple) and len(storage) == 2:
        filesystem, base = storage
        if isinstance(filesystem, fs.FileSystem) and isinstance(base, str):
            return _of_object(filesystem, base)
    if not isinstance(storage, str):
        raise TypeError(
            "The storage must be a path, a URI such as s3://bucket/path, or a pair "
            f"(pyarrow.fs.FileSystem, 'bucket/path'), not {type(storage).__name__}."
        )
    return _of_text(storage)


@lru_cache(maxsize=64)
def name_of(address: str) -> str:
    """What identifies the root in names, comparisons and messages; the same for all credentials."""
    if address.startswith(OBJECT):
        return _name_of_object(*load_object(address))
    if not is_uri(address):
        return address
    parts = urlsplit(address)
    host = parts.netloc.rpartition("@")[2]
    endpoint = dict(parse_qsl(parts.query)).get("endpoint_override", "")
    return _name(parts.scheme, f"{host}{unquote(parts.path)}", endpoint)


def redact(text: object, address: str) -> str:
    """The first line of ``text`` without the address and its secrets."""
    line = (str(text).splitlines() or [""])[0].replace(address, name_of(address))
    for secret in sorted(_secrets(address), key=len, reverse=True):
        line = line.replace(secret, HIDDEN)
    return line


def is_uri(address: str) -> bool:
    """Whether it has a scheme; one letter is the drive of a Windows path."""
    return len(urlsplit(address).scheme) > 1


def load_object(address: str) -> tuple[fs.FileSystem, str]:
    """The file system and base path in an address made of them."""
    filesystem, base = pickle.loads(base64.urlsafe_b64decode(address.removeprefix(OBJECT)))
    return filesystem, base


def _of_text(text: str) -> str:
    if not text.strip():
        raise ValueError("The storage is empty; give a path or a URI such as s3://bucket/path.")
    if text.startswith(OBJECT):
        return text
    if not is_uri(text):
        return os.path.abspath(text)
    parts = urlsplit(text)
    if parts.scheme == "file":
        return os.path.abspath(unquote(parts.path))
    _, colon, port = parts.netloc.partition(":")
    if parts.scheme != "custom" and "@" not in parts.netloc and colon and not port.isdigit():
        raise StorageError(
            f"The storage {parts.scheme}://{HIDDEN} is no URI: credentials with a slash or another "
            "special character must be percent-encoded (a slash is %2F)."
        )
    return text


def _of_object(filesystem: fs.FileSystem, base: str) -> str:
    while isinstance(filesystem, fs.SubTreeFileSystem):
        base = f"{filesystem.base_path.rstrip('/')}/{base.lstrip('/')}"
        filesystem = filesystem.base_fs
    if not base.strip("/"):
        raise ValueError("The base path of the storage is empty; give one such as 'bucket/path'.")
    if isinstance(filesystem, fs.LocalFileSystem):
        return os.path.abspath(base)
    try:
        pickled = cloudpickle.dumps((filesystem, base), protocol=5)
        pickle.loads(pickled)
    except Exception as error:  # user classes may raise anything
        raise StorageError(
            f"The file system {type(filesystem).__name__} cannot travel to the workers, because it "
            f"cannot be pickled ({type(error).__name__}). Use a URI or custom://module.factory/path."
        ) from error
    return OBJECT + base64.urlsafe_b64encode(pickled).decode()


def _name_of_object(filesystem: fs.FileSystem, base: str) -> str:
    scheme = _SCHEMES.get(filesystem.type_name, filesystem.type_name)
    return _name(scheme, base, str(_options(filesystem).get("endpoint_override") or ""))


def _name(scheme: str, path: str, endpoint: str) -> str:
    name = f"{scheme}://{path.rstrip('/')}"
    return f"{name}?endpoint_override={endpoint}" if endpoint else name


def _options(filesystem: fs.FileSystem) -> dict[str, Any]:
    """What an S3 file system was made with; pyarrow tells it only to pickle."""
    if filesystem.type_name != "s3":
        return {}
    options: dict[str, Any] = filesystem.__reduce__()[1][0]
    return options


def _secrets(address: str) -> set[str]:
    """Every spelling of a credential that the address holds."""
    if address.startswith(OBJECT):
        options = _options(load_object(address)[0])
        found = [str(options.get(key) or "") for key in ("secret_key", "session_token")]
    else:
        parts = urlsplit(address)
        user, at, _ = parts.netloc.rpartition("@")
        found = [user, *user.split(":")[1:]] if at else []
        found += [v for k, v in parse_qsl(parts.query) if k not in _SHOWN and len(v) > 6]
    decoded = [unquote(each) for each in found]
    return {each for each in [*found, *decoded, *map(quote, decoded)] if each}
