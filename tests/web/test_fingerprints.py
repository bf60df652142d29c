"""Which errors are alike."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows_app.failures import describe


def error(message: str, kind: str = "ValueError", traceback: str = "") -> dict[str, str]:
    return {"type": kind, "message": message, "traceback": traceback}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("bad row 17", "bad row 4711"),
        ("no such file: '/data/a.csv'", "no such file: '/data/b.csv'"),
        ("object at 0x7f03546e2810", "object at 0x7fffffffffff"),
        (
            "run 5cbc0677-6aa4-45b7-b5e3-b3831b68e133 gone",
            "run 11111111-6aa4-45b7-b5e3-b3831b68e133 gone",
        ),
        ("took 1.5 s", "took 12e3 s"),
        ("failed\nsecond line 1", "failed\nanother line"),
    ],
)
def test_what_differs_in_details_is_alike(one: str, other: str) -> None:
    assert describe(error(one)) == describe(error(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (error("out of memory"), error("disk full")),
        (error("no", "KeyError"), error("no", "ValueError")),
        (
            error("no", traceback='  File "/a/f.py", line 3, in load'),
            error("no", traceback='  File "/a/f.py", line 3, in save'),
        ),
    ],
)
def test_what_differs_in_kind_is_not(one: dict[str, str], other: dict[str, str]) -> None:
    assert describe(one).fingerprint != describe(other).fingerprint


def test_frames_of_ray_and_line_numbers_do_not_count() -> None:
    trace = '  File "/site-packages/ray/_private/worker.py", line {}, in get\n  File "/a/f.py", line {}, in f'
    one, other = (describe(error("x", traceback=trace.format(n, n))) for n in (1, 99))
    assert one == other
    assert one.place == "f.py:f"


@given(
    st.recursive(
        st.none() | st.booleans() | st.text() | st.integers(),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.sampled_from(["type", "message"]), inner)
        ),
    )
)
def test_anything_has_a_group(told: Any) -> None:
    found = describe(told)
    assert len(found.fingerprint) == 16
    assert len(found.message) <= 300
