"""The format ``pickle``: a pickle that holds references, and the data of arrays and tables beside it.

``count, lengths`` (little-endian 64 bit), the pickle, then each buffer on a 64-byte boundary.
"""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Callable
from typing import Any

import cloudpickle
import numpy as np

from rayflow.errors import DataLoadError
from rayflow.storage import frames
from rayflow.storage.store import Buffer

_ALIGNMENT = 64
_PLAIN = {type(None), bool, int, float, str, bytes}
_PLAIN_ITEMS = 1_000_000  # to look at; what is larger, or contains itself, is left to the pickler

PersistentId = Callable[[Any], Any]
PersistentLoad = Callable[[Any], Any]


class _Stream(bytearray):
    """Stands for a buffer that consists of several parts."""

    parts: list[Buffer]


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """cloudpickle with a hook for objects that are stored by reference, and no data in the pickle."""

    hook: PersistentId

    def persistent_id(self, obj: Any) -> Any:
        return self.hook(obj)

    def reducer_override(self, obj: Any) -> Any:
        encoded = frames.encode(obj)
        if encoded is not None:
            stream = _Stream()
            format, stream.parts = encoded
            return frames.decode, (format, pickle.PickleBuffer(stream))
        if type(obj) is np.ndarray and not obj.flags.forc and not obj.dtype.hasobject:
            return np.ascontiguousarray(obj).__reduce_ex__(5)  # NumPy pickles only others apart
        return super().reducer_override(obj)


class _Unpickler(pickle.Unpickler):
    hook: PersistentLoad

    def persistent_load(self, pid: Any) -> Any:
        return self.hook(pid)


def dump(value: Any, persistent_id: PersistentId | None) -> list[Buffer]:
    """The parts of ``value``. Raises whatever the objects in it raise."""
    if is_plain(value):  # nothing in it that would be asked about
        data = pickle.dumps(value, 5)
        return [struct.pack("<QQ", 1, len(data)), data]
    sink = io.BytesIO()
    buffers: list[pickle.PickleBuffer] = []
    pickler = _Pickler(sink, protocol=5, buffer_callback=buffers.append)
    pickler.hook = persistent_id or _nothing
    pickler.dump(value)
    sections = [_section(buffer.raw()) for buffer in buffers]
    body = sink.getbuffer()
    lengths = [body.nbytes, *(sum(map(_length, section)) for section in sections)]
    head = struct.pack(f"<{len(lengths) + 1}Q", len(lengths), *lengths)
    parts: list[Buffer] = [head, body]
    position = len(head) + body.nbytes
    for section, length in zip(sections, lengths[1:], strict=True):
        padding = -position % _ALIGNMENT
        parts += [bytes(padding), *section]
        position += padding + length
    return parts


def load(data: memoryview, persistent_load: PersistentLoad | None) -> Any:
    """The inverse of :func:`dump`; arrays and tables are views of ``data``."""
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


def stays(kind: type) -> type:
    """Say that objects of this class hold nothing that is stored by reference."""
    _PLAIN.add(kind)
    return kind


def is_plain(value: Any) -> bool:
    """Whether a value is small and made of such classes alone."""
    left, stack = _PLAIN_ITEMS, [value]
    while stack:
        each = stack.pop()
        kind = type(each)
        if kind in _PLAIN:
            continue
        if kind is tuple or kind is list:
            stack += each
            left -= len(each)
        elif kind is dict:
            stack += each.keys()
            stack += each.values()
            left -= 2 * len(each)
        else:
            return False
        if left < 0:
            return False
    return True


def _section(view: memoryview) -> list[Buffer]:
    return view.obj.parts if isinstance(view.obj, _Stream) else [view]


def _length(part: Buffer) -> int:
    return memoryview(part).nbytes


def _nothing(obj: Any) -> Any:
    return None


def _unexpected(pid: Any) -> Any:
    raise DataLoadError(f"A stored value refers to {pid!r}, which cannot be resolved here.")
