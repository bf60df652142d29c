"""Values as bytes: results and arguments of tasks.

Formats, in order of preference: ``json`` for plain scalars, those of :mod:`rayflow.storage.frames` for
tables and frames (Arrow IPC streams), ``numpy`` (a ``.npy`` file), and ``pickle``
(:mod:`rayflow.storage.pickling`: the data of arrays and tables lies beside the pickle, not inside it).
No part of a large value is copied on its way to the store.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rayflow.core.graph import StoredValue
from rayflow.errors import DataLoadError, KeyNotFoundError, SerializationError
from rayflow.storage import frames, pickling
from rayflow.storage.pickling import PersistentId, PersistentLoad
from rayflow.storage.store import Buffer, Store

INLINE_BYTES = 64 * 1024
_JSON_BITS = 64  # Python refuses to print and parse integers of more than 4,300 digits
_SCALARS = (type(None), bool, int, float, str)


@dataclass(frozen=True, slots=True)
class Encoded:
    """A value as a format and parts, which are written one after the other without joining them."""

    format: str
    parts: Sequence[Buffer]

    @property
    def size(self) -> int:
        """Length in bytes."""
        return sum(memoryview(part).nbytes for part in self.parts)

    def inline(self) -> StoredValue:
        """The value as it travels inside a record, whatever its size."""
        data = b"".join(self.parts)
        return StoredValue(self.format, len(data), zlib.crc32(data), data)

    def store_once(self, store: Store, key: Callable[[str], str]) -> StoredValue:
        """Like :meth:`store`, under a key made of the content's hash: equal contents share it.

        ``key`` is given the SHA-256 (hex) of the format and the bytes.
        """
        digest = hashlib.sha256(self.format.encode() + b"\0")
        for part in self.parts:
            digest.update(part)
        chosen = key(digest.hexdigest())
        return self.store(store, lambda: chosen, once=True)

    def store(self, store: Store, key: Callable[[], str], *, once: bool = False) -> StoredValue:
        """Keep the value inline if it is small, else write it under ``key()``.

        With ``once`` what is there already, in full length, is not written again.
        """
        size, crc = self.size, 0
        for part in self.parts:
            crc = zlib.crc32(part, crc)
        if size <= INLINE_BYTES:
            return StoredValue(self.format, size, crc, data=b"".join(self.parts))
        chosen = key()
        if not once or store.size(chosen) != size:
            store.write(chosen, self.parts)
        return StoredValue(self.format, size, crc, key=chosen)


def encode(
    value: Any, *, persistent_id: PersistentId | None = None, what: str = "value"
) -> Encoded:
    """Turn ``value`` into bytes.

    Args:
        value: anything cloudpickle can pickle.
        persistent_id: replaces objects inside, as in :class:`pickle.Pickler`.
        what: names the value in errors, for example ``"result of task 'fit'"``.

    Raises:
        SerializationError: it cannot be pickled; the text says why.
    """
    kind = type(value)
    if kind in _SCALARS and not (kind is int and value.bit_length() > _JSON_BITS):
        return Encoded("json", [json.dumps(value).encode("utf-8", "surrogatepass")])
    frame = frames.encode(value)
    if frame is not None:
        return Encoded(*frame)
    if kind is np.ndarray and value.dtype.itemsize and not value.dtype.hasobject:
        return Encoded("numpy", _numpy(value))
    return Encoded("pickle", _pickle(value, persistent_id, what))


def decode(format: str, data: Buffer, *, persistent_load: PersistentLoad | None = None) -> Any:
    """The inverse of :func:`encode`. Arrays and tables are views of ``data``, hence read-only."""
    if format == "json":
        return json.loads(bytes(data).decode("utf-8", "surrogatepass"))
    if format in frames.FORMATS:
        return frames.decode(format, data)
    if format == "numpy":
        return _read_numpy(memoryview(data))
    if format == "pickle":
        return pickling.load(memoryview(data), persistent_load)
    raise DataLoadError(f"A value has the format '{format}', which this version cannot read.")


def load_bytes(store: Store, stored: StoredValue) -> Buffer:
    """The encoded bytes of ``stored``, checked.

    Raises:
        DataLoadError: they are gone or damaged. They are never decoded then.
    """
    if stored.key is None:
        if stored.data is None:
            raise DataLoadError("An inline value was released; read it from the journal.")
        data: Buffer = stored.data
    else:
        try:
            data = store.view(stored.key)
        except KeyError:
            raise KeyNotFoundError(f"The value '{stored.key}' is missing in {store.uri}.") from None
    if len(data) != stored.size or zlib.crc32(data) != stored.crc:
        raise DataLoadError(
            f"The value '{stored.key or 'inline'}' in {store.uri} is damaged: "
            f"{len(data)} bytes where {stored.size} were written, or a wrong checksum."
        )
    return data


def _numpy(array: np.ndarray[Any, Any]) -> list[Buffer]:
    header = io.BytesIO()
    fortran = array.flags.f_contiguous and not array.flags.c_contiguous
    plain = array if array.flags.forc else np.ascontiguousarray(array)
    np.lib.format.write_array_header_2_0(
        header,
        {
            "descr": np.lib.format.dtype_to_descr(plain.dtype),
            "fortran_order": fortran,
            "shape": plain.shape,
        },
    )
    flat = plain.T if fortran else plain
    return (
        [header.getvalue(), flat.reshape(-1).view(np.uint8).data]
        if flat.size
        else [header.getvalue()]
    )


def _read_numpy(data: memoryview) -> np.ndarray[Any, Any]:
    header = io.BytesIO(data[: 12 + struct.unpack_from("<I", data, 8)[0]])
    np.lib.format.read_magic(header)
    shape, fortran, dtype = np.lib.format.read_array_header_2_0(header)
    flat = np.frombuffer(data[header.tell() :], dtype=dtype)
    return flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)


def _pickle(value: Any, persistent_id: PersistentId | None, what: str) -> list[Buffer]:
    try:
        return pickling.dump(value, persistent_id)
    except (KeyboardInterrupt, MemoryError):
        raise
    except BaseException as error:  # __reduce__ of user objects may raise anything
        raise SerializationError(
            f"The {what} of type {type(value).__qualname__} cannot be stored: "
            f"{type(error).__name__}: {error}. Return plain data instead of open files, locks, "
            "connections or generators."
        ) from error
