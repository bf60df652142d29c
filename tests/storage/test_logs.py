"""Logs: written piece by piece, read by range, on stores of both kinds."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rayflow.runtime.task_logs import masked
from rayflow.storage.local import LocalStore
from rayflow.storage.logs import LogFile
from rayflow.storage.store import Store
from rayflow.testing.memory_store import MemoryStore


@pytest.fixture(params=["file", "objects"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A store that can append, and one that cannot."""
    return LocalStore(str(tmp_path)) if request.param == "file" else MemoryStore(appends=False)


@given(
    texts=st.lists(st.binary(max_size=12).filter(lambda b: b"\n" not in b), max_size=12),
    cuts=st.lists(st.integers(0, 200), max_size=6),
    start=st.integers(0, 150),
    size=st.integers(0, 60),
)
@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_range_gives_the_whole_lines_that_begin_in_it(
    store: Store, texts: list[bytes], cuts: list[int], start: int, size: int
) -> None:
    data = b"".join(text + b"\n" for text in texts)
    log = LogFile(store, "w", "t", 1)
    store.delete("workflows")
    places = sorted({0, len(data), *(c for c in cuts if c < len(data))})
    for a, b in pairwise(places):
        log.append(data[a:b])
    assert log.size() == len(data)
    end = min(start + size, len(data))
    if data and start < len(data):
        assert log.read(start, end) == data[start:end]
    begins = [sum(len(t) + 1 for t in texts[:n]) for n in range(len(texts))]
    expected = [t for t, at in zip(texts, begins, strict=True) if start <= at < max(end, start)]
    if not data or start >= len(data) or end <= start:
        return
    first, found, last = log.lines(start, end)
    assert found == expected
    if found:
        assert first == begins[texts.index(found[0], begins.index(first) if first in begins else 0)]
        assert data[first:last] == b"".join(t + b"\n" for t in found)


def test_a_writer_goes_on_where_another_one_stopped(store: Store) -> None:
    LogFile(store, "w", "t", 1).append(b"one\n")
    LogFile(store, "w", "t", 1).append(b"two\n")
    assert LogFile(store, "w", "t", 1).lines(0, 8)[1] == [b"one", b"two"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("password: hunter2 and more", "password: *** and more"),
        ('{"api_key": "abc", "n": 1}', '{"api_key": "***", "n": 1}'),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ("postgres://ada:pw@db/x", "postgres://***@db/x"),
        ("AKIAABCDEFGHIJKLMNOP", "***"),
        ("the token was there", "the token was there"),
        ("tokens=5", "tokens=5"),
    ],
)
def test_what_looks_like_a_credential_is_not_kept(text: str, shown: str) -> None:
    assert masked(text) == shown
