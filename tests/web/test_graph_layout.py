"""The layered drawing of a workflow's task names."""

from __future__ import annotations

import re
import time
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from workflows_app.pages.graph_layout import HEIGHT, WIDTH, lay_out

NAMES = [f"n{number}" for number in range(12)]
EDGES = st.dictionaries(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)), st.integers(1, 9), max_size=40
)


def test_edges_lead_from_left_to_right() -> None:
    edges = {("load", "fit"): 1, ("fit", "pick"): 36, ("load", "pick"): 1, ("pick", "report"): 1}
    x = {box.name: box.x for box in lay_out(["load", "fit", "pick", "report"], edges).boxes}
    assert x["load"] < x["fit"] < x["pick"] < x["report"]


def test_a_name_that_feeds_itself_keeps_its_edge() -> None:
    layout = lay_out(["link"], {("link", "link"): 4_999})
    assert [(line.source, line.target, line.count) for line in layout.lines] == [
        ("link", "link", 4_999)
    ]


@given(EDGES)
def test_any_graph_is_drawn_whole_inside_its_frame_and_without_overlap(
    edges: dict[tuple[str, str], int],
) -> None:
    layout = lay_out(NAMES, edges)
    assert {box.name for box in layout.boxes} == set(NAMES)
    assert {(line.source, line.target) for line in layout.lines} == set(edges)
    for box in layout.boxes:
        assert 0 <= box.x <= layout.width - WIDTH
        assert 0 <= box.y <= layout.height - HEIGHT
    places = sorted((box.x, box.y) for box in layout.boxes)
    for (x1, y1), (x2, y2) in pairwise(places):
        assert x2 >= x1 + WIDTH or y2 >= y1 + HEIGHT or (x1 == x2 and abs(y1 - y2) >= HEIGHT)


def test_a_long_edge_runs_beside_the_boxes_it_passes() -> None:
    names = ["load", "fit", "pick", "report"]
    edges = {("load", "fit"): 1, ("fit", "pick"): 1, ("pick", "report"): 1, ("load", "report"): 1}
    layout = lay_out(names, edges)
    box = {each.name: each for each in layout.boxes}
    (long,) = [line for line in layout.lines if line.target == "report" and line.source == "load"]
    levels = [float(y) for y in re.findall(r"([\d.]+)H", long.path)]
    assert len(levels) == 2
    for name, level in zip(("fit", "pick"), levels, strict=True):
        assert not box[name].y <= level <= box[name].y + HEIGHT


def test_an_empty_workflow_has_an_empty_drawing() -> None:
    layout = lay_out([], {})
    assert layout.boxes == ()
    assert layout.lines == ()


def test_a_long_chain_of_names_is_laid_out_without_recursion() -> None:
    names = [f"n{number}" for number in range(5_000)]
    edges = dict.fromkeys(pairwise(names), 1)
    began = time.monotonic()
    layout = lay_out(names, edges)
    assert len(layout.boxes) == 5_000
    assert time.monotonic() - began < 10
