"""Previews are bounded, plain JSON, and never the reason why a task fails."""

from __future__ import annotations

import base64
import io
import json
import math
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from rayflow.storage import images
from rayflow.storage.preview import describe

MOST = 128 * 1024  # bytes of JSON
KEYS = {"type", "size", "shape", "text", "json", "table", "image", "parts", "truncated"}


def checked(value: Any) -> dict[str, Any]:
    """The preview of ``value``, once it is known to be one."""
    preview = describe(value, 7)
    assert set(preview) == KEYS
    text = json.dumps(preview, allow_nan=False)
    assert len(text) < MOST
    text.encode("utf-8")
    assert json.loads(text) == preview
    return preview


class Raising:
    def __repr__(self) -> str:
        raise RuntimeError("no repr today")


class Hopeless(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text either")


class RaisingHopeless:
    def __repr__(self) -> str:
        raise Hopeless


class Endless:
    def __repr__(self) -> str:
        return "x" * 5_000_000


class LongKey:
    def __str__(self) -> str:
        return "k" * 1_000_000


def cyclic() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    "value",
    [
        Raising(), [Raising()], {"a": Raising()}, RaisingHopeless(), [RaisingHopeless()], Endless(), [Endless()] * 50,
        {LongKey(): 1}, cyclic(), "x" * 5_000_000, b"x" * 5_000_000, list(range(200_000)), 10**5000,
        {str(n): "y" * 10_000 for n in range(1000)}, "\ud800", {"\ud800": "\udfff"}, (None, Hopeless()), type, Raising,
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_hostile_and_huge_values_have_a_bounded_preview(value: Any) -> None:
    checked(value)


def test_wide_and_long_tables_have_a_bounded_preview() -> None:
    text = pa.array(["long " * 1000] * 200)
    wide = pa.table([text] * 120, names=["n" * 500 + str(n) for n in range(120)])
    preview = checked(wide)
    assert (preview["shape"], preview["truncated"]) == ([200, 120], True)
    assert preview["table"]["total_rows"] == 200
    parts = checked({f"table {n}": wide for n in range(9)})["parts"]
    assert all(part["preview"]["truncated"] for part in parts)


def test_a_small_table_is_shown_as_it_is() -> None:
    preview = checked(pa.table({"a": [1, None], "b": [math.nan, 2.5]}))
    assert preview["table"] == {
        "columns": ["a", "b"],
        "rows": [[1, "nan"], [None, 2.5]],
        "total_rows": 2,
    }
    assert (preview["type"], preview["truncated"]) == ("pyarrow.lib.Table", False)


@pytest.mark.parametrize("library", [pd, pl], ids=["pandas", "polars"])
def test_a_frame_is_shown_like_a_table(library: Any) -> None:
    preview = checked(library.DataFrame({"a": [1, 2], "b": [math.nan, 2.5], "c": ["ü", "v"]}))
    assert preview["table"] == {
        "columns": ["a", "b", "c"],
        "rows": [[1, "nan", "ü"], [2, 2.5, "v"]],
        "total_rows": 2,
    }
    assert (preview["shape"], preview["truncated"]) == ([2, 3], False)
    long = ["long " * 1000] * 200
    wide = library.DataFrame({f"{n}" * 300: long for n in range(100, 220)})
    preview = checked(wide)
    assert (preview["shape"], preview["truncated"]) == ([200, 120], True)
    assert preview["table"]["total_rows"] == 200
    parts = checked({"frame": wide, "other": 1})["parts"]
    assert [part["name"] for part in parts] == ["frame"]
    assert parts[0]["preview"]["size"] > 0
    checked([wide])


def test_the_index_of_a_frame_comes_first_when_it_says_something() -> None:
    frame = pd.DataFrame({7: [1.5]}, index=pd.Index(["x"], name="key"))
    assert checked(frame)["table"]["columns"] == ["key", "7"]
    assert checked(frame)["table"]["rows"] == [["x", 1.5]]
    assert checked(frame.rename_axis(None))["table"]["columns"] == ["index", "7"]


@pytest.mark.parametrize(
    "value",
    [
        pd.DataFrame({"o": [Raising(), Hopeless()]}), pd.Series(["\ud800"], dtype=object).to_frame(), pd.DataFrame(),
        pd.Series(["x" * 10_000] * 1000), pl.Series(["x" * 10_000] * 1000), pl.DataFrame(),
        pd.concat([pd.DataFrame({"a": [1]})] * 3, axis=1), pd.DataFrame({"t": [pd.NaT, pd.Timestamp(0)]}),
    ],
    ids=["raising", "surrogates", "empty", "series", "polars series", "empty polars", "twice", "times"],
)  # fmt: skip
def test_odd_frames_have_a_bounded_preview(value: Any) -> None:
    checked(value)


def test_plain_data_is_shown_as_it_is() -> None:
    value = {"folds": [1, 2.5, True, None], "name": "ü", "deep": {"x": (1, 2)}}
    preview = checked(value)
    assert preview["json"] == {"folds": [1, 2.5, True, None], "name": "ü", "deep": {"x": [1, 2]}}
    assert (preview["size"], preview["truncated"]) == (7, False)


def test_what_is_cut_says_so() -> None:
    assert checked(list(range(1000)))["truncated"]
    assert checked("x" * 3_000)["truncated"]
    assert checked({n: n for n in range(100)})["truncated"]


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, np.float64("nan"), np.float32("inf")]
)
def test_numbers_that_json_has_not_are_text(value: Any) -> None:
    assert isinstance(checked([value])["json"][0], str)
    checked(value)


def test_an_array_has_its_shape_and_type() -> None:
    preview = checked(np.zeros((300, 400), "f4"))
    assert preview["shape"] == [300, 400]
    assert preview["text"].startswith("float32")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
        max_leaves=30,
    )
)
@settings(max_examples=80, deadline=None)
def test_any_value_has_a_preview(value: Any) -> None:
    checked(value)


def opened(preview: dict[str, Any]) -> Image.Image:
    """The picture of a preview, as a browser would see it."""
    data = base64.b64decode(preview["image"]["data"])
    assert len(data) <= images.MOST_BYTES
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "1", "CMYK", "I;16", "F"])
def test_an_image_has_a_small_picture(mode: str) -> None:
    preview = checked(Image.new(mode, (900, 300)))
    assert preview["shape"] == [300, 900]
    assert opened(preview).size == (320, 107)


def test_a_noisy_image_is_made_small_enough_or_left_out() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (400, 400, 3), dtype=np.uint8)
    preview = checked(Image.fromarray(noise))
    if preview["image"] is None:
        assert preview["text"]
    else:
        assert opened(preview).format == "JPEG"


def test_the_bytes_of_an_image_file_are_shown_and_other_bytes_are_not() -> None:
    file = io.BytesIO()
    Image.new("RGB", (20, 10), "red").save(file, format="PNG")
    preview = checked({"plot": file.getvalue(), "other": b"\x00\x01"})
    assert [part["name"] for part in preview["parts"]] == ["plot"]
    assert opened(preview["parts"][0]["preview"]).size == (20, 10)
    assert checked(b"\x89PNG\r\n\x1a\n" + bytes(50_000))["image"] is None
