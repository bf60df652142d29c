"""Tasks for the items of a list: their rows in a journal, their places, and what is told of them."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rayflow.core.graph import Graph, Item, Node, TaskOptions, task_facts
from rayflow.core.outcomes import Outcome
from rayflow.core.records import Kind, Record
from rayflow.runtime.metadata import of_task
from rayflow.storage.journal import Journal
from rayflow.storage.manifest import packed, unpacked
from rayflow.testing.memory_store import MemoryStore
from rayflow.testing.simulation import stored
from tests.unit.story import Story, node


def mapped(count: int, limit: int | None = None, together: int = 4) -> list[Node]:
    """A node for every item, and one that needs them all."""
    items = [
        Node(
            "f",
            "f",
            stored(n // together),
            (),
            TaskOptions(),
            {},
            item=Item("m", n % together, limit),
        )
        for n in range(count)
    ]
    return [*items, node("all", *range(count))]


def records_of(nodes: list[Node], taken: set[str] = frozenset()) -> list[Record]:  # type: ignore[assignment]
    facts, _ = task_facts(Graph(tuple(nodes)), taken, {})
    return [fact.at(seq, 1.0) for seq, fact in enumerate(facts, start=5)]


def test_many_items_are_one_row_and_come_back_as_they_were() -> None:
    records = records_of(mapped(10))
    rows = list(packed(records))
    assert [row.data.get("count") for row in rows] == [4, 4, 2, None]
    assert list(unpacked(rows)) == records
    assert [r.task_id for r in records][:3] == ["f", "f_1", "f_2"]


@given(
    st.lists(st.sampled_from(["item", "gap", "other", "value", "limit"]), max_size=20),
    st.sets(st.sampled_from(["f", "f_2", "f_3", "f_01"])),
)
def test_whatever_is_packed_comes_back(kinds: list[str], taken: set[str]) -> None:
    nodes: list[Node] = []
    at = 0
    for kind in kinds:
        at = 0 if kind == "gap" else at + 1
        item = Item("n" if kind == "other" else "m", at, 2 if kind == "limit" else None)
        args = stored("x" if kind == "value" else "y")
        nodes.append(Node("f", "f", args, (), TaskOptions(), {}, item=item))
    records = records_of([*nodes, node("end")], taken)
    assert list(unpacked(packed(records))) == records


def test_a_reader_that_stops_inside_a_row_goes_on_with_the_next_record() -> None:
    journal = Journal(MemoryStore(), "w")
    records = [
        Record(r.seq - 4, r.time, r.kind, r.task_id, None, r.data, r.value)
        for r in records_of(mapped(6))
    ]
    journal.create().commit(records)
    assert [r.seq for r in journal.load()] == list(range(1, 8))
    assert journal.load() == records


def test_no_more_items_are_under_way_than_the_limit_says() -> None:
    story = Story(*mapped(5, limit=2), node("other"))
    assert story.start() == ["f", "f_1", "other"]
    assert story.start() == []
    story.fail("f", "lost")  # it is tried again, and keeps its place
    assert story.start() == ["f"]
    story.end("f")
    assert story.start() == ["f_2"]
    story.end("f_1")
    story.end("f_2")
    assert story.start() == ["f_3", "f_4"]
    story.end("f_3")
    story.end("f_4")
    assert story.start() == ["all"]


def test_an_item_that_continues_keeps_its_place_until_it_has_its_value() -> None:
    story = Story(*mapped(2, limit=1))
    assert story.start() == ["f"]
    story.end("f", Outcome("graph", graph=Graph((node("inner"),))))
    assert story.start() == ["inner"]
    assert story.start() == []
    story.end("inner")
    assert story.start() == ["f_1"]


def test_items_that_are_canceled_leave_their_places() -> None:
    story = Story(
        *mapped(4, limit=1)[:-1],
        node("root", 0, 1, 2, 3, catch_exceptions=True),
    )
    assert story.start() == ["f"]
    state = story.state
    assert state.places.leave("f_1", state.tasks["f_1"].item) is None  # it only waited
    assert state.places.leave("f", state.tasks["f"].item) == "f_2"


def test_a_list_that_was_mapped_is_counted() -> None:
    options = {
        "max_retries": 0,
        "catch_exceptions": None,
        "retry_exceptions": False,
        "checkpoint": None,
        "ray": {},
    }
    declared = {"options": options, "name": "f", "metadata": {}, "upstream": []}
    item = {"of": "m", "at": 0, "limit": None}

    def about(kind: Kind, task_id: str, **data: Any) -> Record:
        return Record(1, 1.0, kind, task_id, 1, data)

    records = [
        about(Kind.TASK, "m", **declared),
        *(about(Kind.TASK, f"f{n}", **declared, item=item) for n in range(6)),
        about(Kind.SUCCEEDED, "f0", caught=False),
        about(Kind.SUCCEEDED, "f1", caught=True),
        about(Kind.STARTED, "f2"),
        about(Kind.FAILED, "f3", next="final"),
        about(Kind.FAILED, "f4", next="retry"),
    ]
    found = of_task(records, "w", "m", "RUNNING")["items"]
    assert found == {"total": 6, "successful": 1, "failed": 2, "running": 1, "waiting": 2}
    assert "items" not in of_task(records[:1], "w", "m", "RUNNING")
