"""pandas and Polars frames come back exactly as they were, and their data is never in a pickle."""

from __future__ import annotations

import datetime
import decimal
import struct
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rayflow.core.graph import StoredValue
from rayflow.errors import DataLoadError
from rayflow.storage.values import decode, encode, load_bytes
from rayflow.testing.memory_store import MemoryStore

ROWS = 10
LETTERS = list("abcdefghij")
MOST = 20_000  # bytes of a pickle that holds references only


def back(value: Any) -> Any:
    """``value`` after a journey through bytes."""
    encoded = encode(value)
    return decode(encoded.format, b"".join(encoded.parts))


def pickled(value: Any) -> int:
    """The length of the pickle proper, without what lies beside it."""
    encoded = encode(value)
    assert encoded.format == "pickle"
    return int(struct.unpack_from("<QQ", b"".join(encoded.parts))[1])


COLUMNS = {
    "integers": np.arange(ROWS),
    "small integers": np.arange(ROWS, dtype="u1"),
    "big endian": np.arange(ROWS, dtype=">i4"),
    "floats": np.array([0.5, np.nan, -0.0, np.inf, *range(6)]),
    "half floats": np.arange(ROWS, dtype="f2"),
    "complex": np.arange(ROWS) + 1j,
    "booleans": np.arange(ROWS) % 2 == 0,
    "texts": pd.array([*LETTERS[:9], None], dtype="str"),
    "text objects": pd.Series([*LETTERS[:9], None], dtype=object),
    "mixed objects": pd.Series([1, "two", None, 3.0, b"4", (5,), {6}, [7], {8: 9}, True]),
    "no values": pd.Series([None] * ROWS, dtype=object),
    "NaN among texts": pd.Series([*LETTERS[:9], np.nan], dtype=object),
    "Python texts": pd.array(LETTERS, dtype="string[python]"),
    "times": pd.Series([*pd.date_range("2024", periods=9, unit="ns"), pd.NaT]),
    "seconds": np.arange(ROWS).astype("M8[s]"),
    "times of a zone": pd.date_range("2024", periods=ROWS, tz="Europe/Berlin"),
    "durations": pd.to_timedelta(np.arange(ROWS), unit="s"),
    "days": pd.Series([datetime.date(2024, 2, 29)] * ROWS),
    "decimals": pd.Series([decimal.Decimal("1.50")] * ROWS),
    "categories": pd.Categorical(["a", None, *"babababa"], categories=["z", "b", "a"]),
    "ordered categories": pd.Categorical([3, 1] * 5, categories=[3, 2, 1], ordered=True),
    "nullable integers": pd.array([2**53 + 1, None] * 5, dtype="Int64"),
    "nullable floats": pd.array([1.5, None] * 5, dtype="Float32"),
    "nullable booleans": pd.array([True, None] * 5, dtype="boolean"),
    "Arrow integers": pd.array([1, None] * 5, dtype="int64[pyarrow]"),
    "Arrow lists": pd.array([[1], None] * 5, dtype=pd.ArrowDtype(pa.list_(pa.int64()))),
    "periods": pd.period_range("2024", periods=ROWS, freq="M"),
    "intervals": pd.interval_range(0, ROWS),
    "sparse": pd.arrays.SparseArray([0, 1] * 5),
}
PICKLED = {
    "big endian", "complex", "mixed objects", "NaN among texts", "Python texts", "days", "decimals",
    "periods", "intervals", "sparse", "Arrow lists",
}  # fmt: skip


def same(found: Any, value: Any) -> None:
    assert type(found) is type(value)
    if isinstance(value, pd.Series):
        pd.testing.assert_series_equal(found, value, check_exact=True, check_index_type="exact")
    else:
        exact: dict[str, Any] = {"check_index_type": "exact", "check_column_type": "exact"}
        pd.testing.assert_frame_equal(found, value, check_exact=True, **exact)
        assert list(map(type, found.columns)) == list(map(type, value.columns))


@pytest.mark.parametrize("name", COLUMNS)
def test_pandas_columns_of_every_type_come_back_exactly(name: str) -> None:
    frame = pd.DataFrame({"column": COLUMNS[name]})
    for value in (frame, frame[:0], frame[2:7], frame["column"], frame["column"].rename(None)):
        same(back(value), value)
        same(back({"inside": value})["inside"], value)
        if frame["column"].dtype == object:
            assert [type(cell) for cell in back(value[:3]).to_numpy().flat] == [
                type(cell) for cell in value[:3].to_numpy().flat
            ]
    assert (encode(frame).format == "pickle") == (name in PICKLED)


def test_categories_outlive_their_rows() -> None:
    empty = pd.DataFrame({"column": COLUMNS["categories"]})[:0]
    assert list(back(empty)["column"].cat.categories) == ["z", "b", "a"]


PLAIN = pd.DataFrame({"a": np.arange(ROWS), "b": LETTERS, "c": np.linspace(0, 1, ROWS)})
LAYOUTS = {
    "plain": PLAIN,
    "no columns": PLAIN[[]],
    "nothing": pd.DataFrame(),
    "index of numbers": PLAIN.set_index("c"),
    "index of texts": PLAIN.set_index("b"),
    "index of objects": PLAIN.set_axis([*LETTERS[:9], 10]),
    "several levels": PLAIN.set_index(["a", "b"]),
    "a range that starts late": PLAIN.set_axis(pd.RangeIndex(5, 25, 2, name="range")),
    "every day": PLAIN.set_axis(pd.date_range("2024", periods=ROWS, freq="D")),
    "name that is a pair": PLAIN.rename_axis(index=[("a", 1)]),
    "name of the columns": PLAIN.rename_axis(columns="names"),
    "columns of numbers": pd.DataFrame({3: [1.5], 1: [2.5]}),
    "columns of both": pd.DataFrame([[1, 2]], columns=["a", 1]),
    "columns of booleans": pd.DataFrame([[1, 2]], columns=[True, False]),
    "columns of days": pd.DataFrame([[1, 2]], columns=pd.date_range("2024", periods=2)),
    "columns of pairs": pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", 1), ("b", 2)])),
    "a column twice": pd.concat([PLAIN, PLAIN], axis=1),
    "columns called like attributes": pd.DataFrame({"name": [1], "columns": [2], "to_frame": [3]}),
    "rows of an array": pd.DataFrame(np.arange(12.0).reshape(4, 3)),
    "transposed": PLAIN[["a", "c"]].T,
    "every other row": PLAIN[::2],
    "backwards": PLAIN[::-1],
}  # fmt: skip


@pytest.mark.parametrize("name", LAYOUTS)
def test_pandas_frames_of_every_layout_come_back_exactly(name: str) -> None:
    found = back(LAYOUTS[name])
    same(found, LAYOUTS[name])
    assert found.index.names == LAYOUTS[name].index.names
    same(back([LAYOUTS[name]])[0], LAYOUTS[name])


def test_attributes_and_flags_of_a_frame_come_back() -> None:
    frame = PLAIN.copy()
    frame.attrs = {"unit": ("cm", 2)}
    assert back(frame).attrs == {"unit": ("cm", 2)}
    strict = PLAIN.set_flags(allows_duplicate_labels=False)
    assert not back(strict).flags.allows_duplicate_labels


class Own(pd.DataFrame):
    """A subclass, which must not become a plain frame."""

    @property
    def _constructor(self) -> type[Own]:
        return Own


def test_subclasses_of_frames_keep_their_type() -> None:
    assert type(back(Own({"a": [1]}))) is Own


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8"), max_size=5),
        st.sampled_from(sorted(COLUMNS)),
        max_size=5,
    ),
    st.slices(ROWS),
    st.sampled_from([None, *sorted(set(COLUMNS) - {"mixed objects", "sparse", "half floats"})]),
)
@settings(max_examples=40, deadline=None)
def test_any_pandas_frame_comes_back_exactly(
    columns: dict[str, str], rows: slice, index: str | None
) -> None:
    frame = pd.DataFrame({name: COLUMNS[kind] for name, kind in columns.items()})
    if columns and index is not None:
        frame = frame.set_axis(pd.Index(COLUMNS[index], name="index"))
    same(back(frame.iloc[rows]), frame.iloc[rows])


POLARS = {
    "integers": pl.Series([1, None, 3]),
    "texts": pl.Series(["a", None, "b" * 100]),
    "categories": pl.Series(["a", "b", None], dtype=pl.Categorical),
    "choices": pl.Series(["a", "c", None], dtype=pl.Enum(["c", "b", "a"])),
    "days": pl.Series([datetime.date(2024, 2, 29)] * 3),
    "times": pl.Series([0, None, 2**40], dtype=pl.Datetime("ms", "Europe/Berlin")),
    "durations": pl.Series([datetime.timedelta(1)] * 3),
    "clock": pl.Series([datetime.time(1)] * 3),
    "decimals": pl.Series([decimal.Decimal("1.5")] * 3),
    "lists": pl.Series([[1], None, [2, 3]]),
    "arrays": pl.Series([[1, 2]] * 3, dtype=pl.Array(pl.Int8, 2)),
    "records": pl.Series([{"a": 1}, None, {"a": 3}]),
    "bytes": pl.Series([b"a", None, b""]),
    "booleans": pl.Series([True, None, False]),
    "nulls": pl.Series([None] * 3),
    "wide integers": pl.Series([2**100, None, 1], dtype=pl.Int128),
    "floats": pl.Series([0.5, float("nan"), None]),
}  # fmt: skip


@pytest.mark.parametrize("name", POLARS)
def test_polars_columns_of_every_type_come_back_exactly(name: str) -> None:
    frame = pl.DataFrame({"column": POLARS[name], "more": [1.5, 2.5, 3.5]})
    for value in (frame, frame[:0], frame[1:], pl.concat([frame, frame], rechunk=False)):
        for found in (back(value), back({"inside": value})["inside"]):
            assert type(found) is pl.DataFrame
            assert found.schema == value.schema
            assert found.equals(value)
    series = back(POLARS[name].alias("named"))
    assert (series.name, series.dtype) == ("named", POLARS[name].dtype)
    assert series.equals(POLARS[name])
    assert (encode(frame).format == "polars") == (name != "wide integers")


def test_a_polars_frame_without_columns_comes_back() -> None:
    assert back(pl.DataFrame()).shape == (0, 0)


@dataclass
class Report:
    """What a task might return."""

    title: str
    parts: dict[str, Any]


MANY = 100_000
LARGE = {
    "NumPy": np.arange(MANY),
    "NumPy, strided": np.arange(2 * MANY)[::2],
    "Arrow": pa.table({"a": np.arange(MANY), "s": ["text"] * MANY}),
    "Arrow batch": pa.record_batch({"a": np.arange(MANY)}),
    "pandas": pd.DataFrame({"a": np.arange(MANY), "s": ["text"] * MANY}),
    "pandas, objects": pd.DataFrame({"s": pd.Series(["text"] * MANY, dtype=object)}),
    "pandas, rows of an array": pd.DataFrame(np.zeros((MANY, 3))),
    "pandas, complex": pd.DataFrame({"c": np.zeros(MANY, complex)}),
    "pandas series": pd.Series(np.arange(MANY), name="numbers"),
    "polars": pl.DataFrame({"a": np.arange(MANY), "s": ["text"] * MANY}),
    "polars series": pl.Series("numbers", np.arange(MANY)),
}


@pytest.mark.parametrize("name", LARGE)
def test_no_data_is_inside_the_pickle(name: str) -> None:
    data = LARGE[name]
    report = Report("title", {"list": [data, (data, 1)], "again": data})
    assert pickled(report) < MOST
    size = encode(report).size
    assert 3 * MANY < size < 30 * MANY, "the data is there, once"
    found = back(report)
    assert type(found) is Report
    assert found.parts["list"][0] is found.parts["again"]
    assert type(found.parts["again"]) is type(data)
    assert repr(found.parts["again"]) == repr(data)


def test_a_slice_takes_only_its_rows_along() -> None:
    assert encode({"rows": LARGE["Arrow"].slice(10, 100)}).size < MOST
    assert encode({"rows": LARGE["pandas"][10:110]}).size < MOST


@pytest.mark.parametrize("name", ["pandas", "polars", "Arrow"])
@pytest.mark.parametrize("wrap", [lambda v: v, lambda v: [v]], ids=["alone", "nested"])
def test_damaged_frames_are_refused_before_anything_decodes_them(name: str, wrap: Any) -> None:
    store = MemoryStore()
    kept = encode(wrap(LARGE[name])).store(store, lambda: "values/key")
    record = StoredValue.from_record(kept.describe(), None)
    whole = store.content["values/key"]
    for position in (0, len(whole) // 2, len(whole) - 1):
        damaged = bytearray(whole)
        damaged[position] ^= 4
        for data in (bytes(damaged), whole[:position]):
            store.content["values/key"] = data
            with pytest.raises(DataLoadError, match="damaged"):
                load_bytes(store, record)


WITHOUT_EITHER = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name in ("pandas", "polars"):
            raise ImportError(name)

sys.meta_path.insert(0, Missing())
import pyarrow as pa
from rayflow.storage.preview import describe
from rayflow.storage.values import decode, encode

value = [1, pa.table({"a": [1]})]
encoded = encode(value)
assert decode(encoded.format, b"".join(encoded.parts)) == value
assert describe(value, 1)["json"][0] == 1
"""


def test_values_of_others_need_neither_library() -> None:
    subprocess.run([sys.executable, "-c", WITHOUT_EITHER], check=True)
