"""Values as bytes: results and arguments of tasks.

Formats, in order of preference: ``json`` for plain scalars, ``arrow-table`` and ``arrow-batch`` (Arrow
IPC streams), ``numpy`` (a ``.npy`` file), and ``pickle`` (cloudpickle protocol 5 with the data of arrays
and tables out of band, beside the pickle instead of inside it).
"""

from __future__ import annotations

import io
import json
import pickle
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cloudpickle
import numpy as np
import pyarrow as pa

from rayflow.core.graph import StoredValue
from rayflow.errors import DataLoadError, SerializationError
from rayflow.storage.store import Buffer, Store

INLINE_BYTES = 64 * 1024
_ALIGNMENT = 64
_JSON_BITS = 64  # Python refuses to print and parse integers of more than 4,300 digits
_SCALARS = (type(None), bool, int, float, str)

PersistentId = Callable[[Any], Any]
PersistentLoad = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Encoded:
    """A value as a format and parts, which are written one after the other without joining them."""

    format: str
    parts: Sequence[Buffer]

    @property
    def size(self) -> int:
        """Length in bytes."""
        return sum(memoryview(part).nbytes for part in self.parts)

    def store(self, store: Store, key: Callable[[], str]) -> StoredValue:
        """Keep the value inline if it is small, else write it under ``key()``."""
        size, crc = self.size, 0
        for part in self.parts:
            crc = zlib.crc32(part, crc)
        if size <= INLINE_BYTES:
            return StoredValue(self.format, size, crc, data=b"".join(self.parts))
        chosen = key()
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
    if kind is pa.Table:
        return Encoded("arrow-table", [_arrow(value.schema, value)])
    if kind is pa.RecordBatch:
        return Encoded("arrow-batch", [_arrow(value.schema, value)])
    if kind is np.ndarray and value.dtype.itemsize and not value.dtype.hasobject:
        return Encoded("numpy", _numpy(value))
    return Encoded("pickle", _pickle(value, persistent_id, what))


def decode(format: str, data: Buffer, *, persistent_load: PersistentLoad | None = None) -> Any:
    """The inverse of :func:`encode`. Arrays and tables are views of ``data``, hence read-only."""
    if format == "json":
        return json.loads(bytes(data).decode("utf-8", "surrogatepass"))
    if format == "arrow-table":
        return pa.ipc.open_stream(pa.py_buffer(data)).read_all()
    if format == "arrow-batch":
        return pa.ipc.open_stream(pa.py_buffer(data)).read_next_batch()
    if format == "numpy":
        return _read_numpy(memoryview(data))
    if format == "pickle":
        return _unpickle(memoryview(data), persistent_load)
    raise DataLoadError(f"A value has the format '{format}', which this version cannot read.")


def load_bytes(store: Store, stored: StoredValue) -> bytes:
    """The encoded bytes of ``stored``, checked.

    Raises:
        DataLoadError: they are gone or damaged. They are never decoded then.
    """
    if stored.key is None:
        data = stored.data
        if data is None:
            raise DataLoadError("An inline value was released; read it from the journal.")
    else:
        try:
            data = store.read(stored.key)
        except KeyError:
            raise DataLoadError(f"The value '{stored.key}' is missing in {store.uri}.") from None
    if len(data) != stored.size or zlib.crc32(data) != stored.crc:
        raise DataLoadError(
            f"The value '{stored.key or 'inline'}' in {store.uri} is damaged: "
            f"{len(data)} bytes where {stored.size} were written, or a wrong checksum."
        )
    return data


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """cloudpickle with a hook for objects that are stored by reference."""

    hook: PersistentId

    def persistent_id(self, obj: Any) -> Any:
        return self.hook(obj)


class _Unpickler(pickle.Unpickler):
    hook: PersistentLoad

    def persistent_load(self, pid: Any) -> Any:
        return self.hook(pid)


def _arrow(schema: pa.Schema, value: pa.Table | pa.RecordBatch) -> memoryview:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write(value)
    return memoryview(sink.getvalue())


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
    """``count, lengths`` (little-endian 64 bit), the pickle, then each buffer on a 64-byte boundary."""
    sink = io.BytesIO()
    buffers: list[pickle.PickleBuffer] = []
    pickler = _Pickler(sink, protocol=5, buffer_callback=buffers.append)
    pickler.hook = persistent_id or _nothing
    try:
        pickler.dump(value)
        views = [buffer.raw() for buffer in buffers]
    except (KeyboardInterrupt, MemoryError):
        raise
    except BaseException as error:  # __reduce__ of user objects may raise anything
        raise SerializationError(
            f"The {what} of type {type(value).__qualname__} cannot be stored: "
            f"{type(error).__name__}: {error}. Return plain data instead of open files, locks, "
            "connections or generators."
        ) from error
    body = sink.getbuffer()
    lengths = [body.nbytes, *(view.nbytes for view in views)]
    head = struct.pack(f"<{len(lengths) + 1}Q", len(lengths), *lengths)
    parts: list[Buffer] = [head, body]
    position = len(head) + body.nbytes
    for view in views:
        padding = -position % _ALIGNMENT
        parts += [bytes(padding), view]
        position += padding + view.nbytes
    return parts


def _unpickle(data: memoryview, persistent_load: PersistentLoad | None) -> Any:
    (count,) = struct.unpack_from("<Q", data)
    lengths = struct.unpack_from(f"<{count}Q", data, 8)
    position = 8 + 8 * count
    body = data[position : position + lengths[0]]
    position += lengths[0]
    buffers = []
    for length in lengths[1:]:
        position += -position % _ALIGNMENT
        buffers.append(data[position : position + length])
        position += length
    unpickler = _Unpickler(io.BytesIO(body), buffers=buffers)
    unpickler.hook = persistent_load or _unexpected
    return unpickler.load()


def _nothing(obj: Any) -> Any:
    return None


def _unexpected(pid: Any) -> Any:
    raise DataLoadError(f"A stored value refers to {pid!r}, which cannot be resolved here.")
