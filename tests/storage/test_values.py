"""Values come back as they were, or not at all."""

from __future__ import annotations

import datetime
import math
import pickle
import threading
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rayflow.core.graph import StoredValue
from rayflow.errors import DataLoadError, SerializationError
from rayflow.storage import pickling
from rayflow.storage.values import INLINE_BYTES, decode, encode, load_bytes
from rayflow.testing.memory_store import MemoryStore


def back(value: Any) -> Any:
    """``value`` after a journey through a store."""
    store = MemoryStore()
    kept = encode(value).store(store, lambda: "values/key")
    record = StoredValue.from_record(kept.describe(), kept.data)
    return decode(record.format, load_bytes(store, record))


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
nested = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers(), inner, max_size=4)
    ),
    max_leaves=8,
)


@given(nested)
@settings(max_examples=100, deadline=None)
def test_plain_data_comes_back_equal_and_of_the_same_type(value: Any) -> None:
    found = back(value)
    assert type(found) is type(value)
    assert repr(found) == repr(value)  # NaN is not equal to itself, but it reads the same


@pytest.mark.parametrize(
    "value",
    [
        10**5000, -(2**64), 2**63, -0.0, math.inf, -math.inf, 5e-324, "\ud800 alone", "\x00", "",
        b"\xff" * 10, 1 + 2j, {1, 2}, frozenset(), datetime.date(2024, 2, 29), range(3), Ellipsis,
    ],
    ids=lambda value: f"{type(value).__name__} {repr(value)[:20] if value != 10**5000 else 'huge'}",
)  # fmt: skip
def test_unusual_scalars_come_back(value: Any) -> None:
    found = back(value)
    assert type(found) is type(value)
    assert found == value
    if isinstance(value, float):
        assert math.copysign(1, found) == math.copysign(1, value)


def test_nan_comes_back_as_nan() -> None:
    assert math.isnan(back(math.nan))


class Number(int):
    """A subclass, which must not become a plain number."""


def test_subclasses_of_plain_types_keep_their_type() -> None:
    assert type(back(Number(3))) is Number


DTYPES = [
    "?", "i1", "<i4", ">i4", "u8", "f2", "f4", ">f8", "f8", "g", "c8", "c16", "S5", "U3", "M8[ns]", "m8[D]",
    "V4", [("a", "<i4"), ("b", "f8", (2,))],
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (0, 4), (2, 3, 4)], ids=str)
def test_arrays_of_every_dtype_and_shape_come_back(dtype: Any, shape: tuple[int, ...]) -> None:
    array = np.zeros(shape, dtype)
    if array.dtype.kind not in "VSUMm" and array.size:
        array[...] = np.arange(array.size).reshape(shape).astype(array.dtype)
    found = back(array)
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    assert found.tobytes() == array.tobytes()


LAYOUTS = {
    "C": lambda a: a,
    "Fortran": np.asfortranarray,
    "transposed": lambda a: a.transpose(2, 0, 1),
    "strided": lambda a: a[::2, :, ::-1],
    "broadcast": lambda a: np.broadcast_to(a[0], (5, *a[0].shape)),
    "one column": lambda a: a[:, 1:2, 0],
}


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("size", [2, 40])
def test_arrays_of_every_layout_come_back_inline_and_stored(name: str, size: int) -> None:
    array = LAYOUTS[name](np.arange(size**3, dtype="f8").reshape(size, size, size))
    found = back(array)
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(found, array)
    inside = back({"array": array, "list": [array]})
    np.testing.assert_array_equal(inside["list"][0], array)


@given(hnp.arrays(hnp.scalar_dtypes(), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0)))
@settings(max_examples=80, deadline=None)
def test_any_array_comes_back(array: Any) -> None:
    found = back(array)
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    assert found.tobytes() == array.tobytes()


@pytest.mark.parametrize(
    "array",
    [
        np.array([1, "two", None], dtype=object),
        np.array(["a", "bb"], dtype=np.dtypes.StringDType()),
        np.zeros(3, dtype=[]),
        np.zeros(2, dtype="V0"),
    ],
    ids=["objects", "strings", "no fields", "no bytes"],
)
def test_arrays_without_plain_memory_come_back_too(array: Any) -> None:
    found = back(array)
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    assert found.tolist() == array.tolist()


def test_masked_arrays_keep_their_mask() -> None:
    found = back(np.ma.masked_array([1, 2, 3], mask=[0, 1, 0]))
    assert found.mask.tolist() == [False, True, False]


TABLE = pa.table(
    {
        "number": [1, None, 3],
        "text": ["ü", "", None],
        "nested": [[{"a": 1}], [], None],
        "day": pa.array([datetime.date(2024, 1, 1)] * 3),
        "kind": pa.array(["x", "y", "x"]).dictionary_encode(),
    }
).replace_schema_metadata({"who": "me"})


@pytest.mark.parametrize(
    "table",
    [
        TABLE, TABLE.slice(1, 1), TABLE.slice(0, 0), pa.concat_tables([TABLE.slice(1), TABLE.slice(0, 1)]),
        pa.table({}), TABLE.to_batches()[0], TABLE.to_batches()[0].slice(1),
    ],
    ids=["table", "slice", "empty", "chunks", "no columns", "batch", "batch slice"],
)  # fmt: skip
def test_tables_and_batches_come_back_with_their_schema(table: Any) -> None:
    found = back(table)
    assert type(found) is type(table)
    assert found.schema.equals(table.schema, check_metadata=True)
    assert found.to_pylist() == table.to_pylist()
    assert back({"inside": table})["inside"].to_pylist() == table.to_pylist()


def test_functions_and_classes_of_the_moment_come_back() -> None:
    offset = 10

    class Local:
        value = 3

    assert back(lambda x: x + offset)(1) == 11
    assert back(Local)().value == 3


def test_only_small_values_travel_inline() -> None:
    store = MemoryStore()
    small = encode(b"x" * 1000).store(store, lambda: "unused")
    assert small.key is None
    assert store.content == {}
    large = encode(b"x" * (INLINE_BYTES + 1)).store(store, lambda: "values/large")
    assert (large.key, large.data) == ("values/large", None)
    assert len(store.content["values/large"]) == large.size


class Bomb:
    """Whoever unpickles this has been careless."""

    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("damaged bytes were decoded",)


@pytest.mark.parametrize("size", [10, 200_000])
def test_damaged_bytes_are_refused_before_anything_decodes_them(size: int) -> None:
    store = MemoryStore()
    kept = encode([Bomb(), "x" * size]).store(store, lambda: "values/key")
    data = bytearray(kept.data if kept.data is not None else store.content["values/key"])
    for position in (0, len(data) // 2, len(data) - 1):
        for damage in (lambda d: None, lambda d: d.pop(), lambda d: d.append(0)):
            damaged = bytearray(data)
            damaged[position] ^= 4
            damage(damaged)
            record = StoredValue(kept.format, kept.size, kept.crc, key=kept.key)
            if kept.key is None:
                record = StoredValue(kept.format, kept.size, kept.crc, bytes(damaged))
            else:
                store.content[kept.key] = bytes(damaged)
            with pytest.raises(DataLoadError, match="damaged"):
                back_from(store, record)


def back_from(store: MemoryStore, record: StoredValue) -> Any:
    return decode(record.format, load_bytes(store, record))


def test_a_missing_value_is_named() -> None:
    with pytest.raises(DataLoadError, match="values/gone"):
        load_bytes(MemoryStore(), StoredValue("json", 1, 1, key="values/gone"))


def test_a_format_of_the_future_is_named() -> None:
    with pytest.raises(DataLoadError, match="zstd-dream"):
        decode("zstd-dream", b"")


class Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        raise SystemError("no way")


@pytest.mark.parametrize(
    "value",
    [threading.Lock(), {"inside": [threading.Lock()]}, (n for n in "x"), Hostile()],
    ids=["lock", "nested lock", "generator", "hostile"],
)
def test_what_cannot_be_stored_is_named_with_the_reason(value: Any) -> None:
    with pytest.raises(SerializationError, match=r"result of task 'fit' of type \w+ cannot"):
        encode(value, what="result of task 'fit'")


def test_endless_nesting_is_a_serialization_error() -> None:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(SerializationError):
        encode(value)


def test_objects_stored_by_reference_are_replaced_and_resolved() -> None:
    marker = object()
    encoded = encode([1, marker], persistent_id=lambda o: "the marker" if o is marker else None)
    data = b"".join(encoded.parts)
    assert decode("pickle", data, persistent_load=lambda pid: pid) == [1, "the marker"]
    with pytest.raises(DataLoadError, match="the marker"):
        decode("pickle", data)


def test_large_arrays_are_written_without_a_copy_inside_the_pickle() -> None:
    array = np.arange(100_000)
    encoded = encode({"a": array})
    assert any(np.shares_memory(np.frombuffer(p, np.uint8), array) for p in encoded.parts if len(p))
    assert len(pickle.dumps(array)) > encoded.size - 2_000


def test_what_is_stored_by_reference_is_found_in_a_list_as_long_as_is_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pickling, "_PLAIN_ITEMS", 3)
    assert not pickling.is_plain([object(), 1, 2])
    assert pickling.is_plain([0, 1, 2])
    assert not pickling.is_plain([0, 1, 2, 3])  # the pickler looks for itself
