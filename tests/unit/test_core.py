"""The pure core: ids, numbering, state, plan, outcomes."""

from __future__ import annotations

import subprocess
import sys
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rayflow.core.graph import Graph, Node, task_facts
from rayflow.core.ids import key_segment, task_name, unused_id, validate_workflow_id
from rayflow.core.outcomes import Outcome, facts_of
from rayflow.core.planner import Finish, StartTask, StopTask, failed_tasks, lost_values, plan
from rayflow.core.records import Fact, Kind, Record, WorkflowStatus
from rayflow.core.retry import may_retry
from rayflow.core.state import WorkflowState, fold
from rayflow.core.tasks import TaskStatus
from rayflow.errors import InvalidWorkflowIdError, WorkflowError
from tests.unit.story import ERROR, VALUE, Story, node

# --- ids -------------------------------------------------------------------------------------------

ODD = [
    "a/b",
    "..",
    ".",
    "ü",
    "x" * 1024,
    "ü" * 512,
    "%2E",
    "a%2Fb",
    " ",
    "~",
    "\x00",
    "a\\b",
    "-",
    "CON",
]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), unique=True))
def test_different_ids_have_different_safe_key_segments(ids: list[str]) -> None:
    segments = [key_segment(identifier) for identifier in [*ids, *set(ODD) - set(ids)]]
    assert len(set(segments)) == len(segments)
    for segment in segments:
        assert 0 < len(segment.encode()) <= 200
        assert "/" not in segment
        assert not segment.startswith(".")
        assert segment.isascii()
        assert segment.isprintable()


def test_long_ids_that_differ_at_the_end_are_told_apart() -> None:
    assert key_segment("x" * 1023 + "a") != key_segment("x" * 1023 + "b")
    assert key_segment(key_segment("x" * 1024)) != key_segment("x" * 1024)


@pytest.mark.parametrize("workflow_id", ODD)
def test_odd_ids_are_ids(workflow_id: str) -> None:
    assert validate_workflow_id(workflow_id) == workflow_id


@pytest.mark.parametrize("bad", ["", "x" * 1025, "ü" * 513, "\ud800", None, 5, b"bytes", ["a"]])
def test_what_is_no_id_raises_an_error_of_both_old_types(bad: object) -> None:
    with pytest.raises(InvalidWorkflowIdError) as caught:
        validate_workflow_id(bad)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, WorkflowError)


def test_a_default_task_name_has_no_odd_characters() -> None:
    assert task_name("test", "<locals>.f") == "test.locals.f"
    assert task_name("my-mod", "Ünï.<lambda>") == "my-mod.Ünï.lambda"


def test_an_unused_id_skips_what_is_taken() -> None:
    assert unused_id("f", 0, lambda c: False) == "f"
    assert unused_id("f", 1, {"f", "f_1", "f_2"}.__contains__) == "f_3"


# --- numbering and inheritance ---------------------------------------------------------------------


def ids_of(*nodes: Node, tasks: dict[str, Any] | None = None, **kw: Any) -> list[str]:
    facts, root = task_facts(Graph(nodes), tasks or {}, kw.pop("names", {}), **kw)
    assert root == facts[-1].task_id
    return [fact.task_id or "" for fact in facts]


def test_dependencies_get_the_smaller_suffix() -> None:
    assert ids_of(node("f"), node("f", 0), node("g", 1), node("f", 2)) == ["f", "f_1", "g", "f_2"]


def test_a_name_chosen_by_hand_does_not_collide_with_a_number() -> None:
    assert ids_of(node("f"), node("f_1"), node("f"), node("f")) == ["f", "f_1", "f_2", "f_3"]
    assert ids_of(node("f"), node("f"), node("f_1")) == ["f", "f_2", "f_1"]
    assert ids_of(node("f"), tasks={"f": 0, "f_1": 0}, names={"f": 1}) == ["f_2"]


@given(st.lists(st.sampled_from(["f", "f_1", "f_1_1", "f_2", "g"]), min_size=1, max_size=12))
def test_ids_are_unique_and_the_same_every_time(names: list[str]) -> None:
    nodes = [node(name) for name in names]
    ids = ids_of(*nodes)
    assert len(set(ids)) == len(ids)
    assert ids == ids_of(*nodes)
    assert all(i == n or i.startswith(f"{n}_") for i, n in zip(ids, names, strict=True))


def test_a_continuation_inherits_catching_at_its_root_and_checkpointing_everywhere() -> None:
    nodes = (node("a"), node("b", checkpoint=True), node("c", 0, 1))
    facts, _ = task_facts(Graph(nodes), {}, {}, parent="p", catch=True, checkpoint=False)
    options = [fact.data["options"] for fact in facts]
    assert [o["catch_exceptions"] for o in options] == [None, None, True]
    assert [o["checkpoint"] for o in options] == [False, True, False]
    assert {fact.data["parent"] for fact in facts} == {"p"}
    root = Graph((node("c", catch_exceptions=False),))
    [fact], _ = task_facts(root, {}, {}, catch=True)
    assert fact.data["options"]["catch_exceptions"] is False


# --- plan ------------------------------------------------------------------------------------------


def test_a_task_starts_only_when_all_upstream_outcomes_are_in_the_state() -> None:
    story = Story(node("a"), node("b"), node("c", 0, 1))
    assert story.start() == ["a", "b"]
    story.end("a")
    assert story.start() == []
    story.end("b")
    assert story.start() == ["c"]
    story.end("c")
    assert story.plan() == [Finish(WorkflowStatus.SUCCESSFUL)]


def test_nothing_starts_before_the_workflow_runs_or_after_it_has_ended() -> None:
    story = Story(node("a"))
    story.status(WorkflowStatus.PENDING)
    assert story.plan() == []
    story.tell(Fact(Kind.CANCEL_REQUESTED))
    assert story.plan() == [Finish(WorkflowStatus.CANCELED)]
    for ended in ("SUCCESSFUL", "FAILED", "RESUMABLE", "CANCELED"):
        story.status(WorkflowStatus(ended))
        assert story.plan() == []


def test_the_window_limits_what_is_under_way() -> None:
    story = Story(*(node("a") for _ in range(5)), node("z", 0, 1, 2, 3, 4))
    assert story.start(window=2) == ["a", "a_1"]
    assert story.start(window=2) == []
    story.end("a")
    assert story.start(window=2) == ["a_2"]
    assert story.start(window=1) == []


def test_attempts_whose_input_was_lost_leave_a_place_for_the_task_that_makes_it() -> None:
    story = Story(node("a", checkpoint=False), node("b", 0, checkpoint="async"), node("c", 1, 0))
    story.start()
    story.end("a", Outcome("value", value=VALUE, checkpoint=False))
    assert story.start(window=2) == ["b"]
    story.state.lend("b")
    assert story.start(window=2) == ["c"]
    story.tell(Fact(Kind.RESUMED, data={"reset": ["a"], "asked": False}))
    assert story.start(window=2) == ["a"]
    assert story.start(window=2) == []


@pytest.mark.parametrize("end", ["cancel", "application", "system"])
def test_everything_is_stopped_before_the_end_is_written(end: str) -> None:
    story = Story(node("a"), node("b"), node("c", 0, 1))
    story.start()
    if end == "cancel":
        story.tell(Fact(Kind.CANCEL_REQUESTED))
    else:
        story.state.tasks["a"].options["max_retries"] = 0
        story.fail("a", "error" if end == "application" else "lost")
    stops = [c.task_id for c in story.plan() if isinstance(c, StopTask)]
    assert stops == (["a", "b"] if end == "cancel" else ["b"])
    assert len(story.plan()) == len(stops)
    for task_id in stops:
        story.end(task_id, Outcome("stopped"))
    [finish] = story.plan()
    assert isinstance(finish, Finish)
    wanted = {"cancel": "CANCELED", "application": "FAILED", "system": "RESUMABLE"}[end]
    assert finish.status == wanted
    if finish.error is not None:
        assert (finish.error["task_id"], finish.error["message"]) == ("a", "no")


def test_a_resume_is_about_failed_and_stopped_tasks_only() -> None:
    story = Story(node("a"), node("b"), node("c"), node("z", 0, 1, 2))
    story.start()
    story.end("a")
    story.fail("b")
    story.end("c", Outcome("stopped"))
    story.status(WorkflowStatus.FAILED)
    assert failed_tasks(story.state) == ["b", "c"]
    story.tell(Fact(Kind.RESUMED, data={"reset": ["b", "c"]}))
    assert story.state.error is None
    assert story.start() == ["b", "c"]


def test_a_task_that_runs_again_after_a_value_has_another_attempt_number() -> None:
    story = Story(node("a", checkpoint=False), node("b", 0))
    story.start()
    story.end("a", Outcome("value", value=VALUE, checkpoint=False))
    story.tell(Fact(Kind.RESUMED, data={"reset": ["a"], "asked": False}))
    assert story.plan() == [StartTask("a", 2)]  # though no worker said that the first one ran


def test_only_values_that_somebody_still_needs_are_lost() -> None:
    volatile = {"checkpoint": False}
    story = Story(node("a"), node("b", 0, **volatile), node("c", 1), node("d", 1, 2))
    story.start()
    story.end("a")
    story.start()
    story.end("b", Outcome("value", value=VALUE, checkpoint=False))
    assert lost_values(story.state) == ["b"]
    story.start()
    story.end("c")
    assert lost_values(story.state) == ["b"]  # d needs it too
    story.start()
    story.end("d")
    assert lost_values(story.state) == []


def test_a_lost_value_needs_the_lost_values_before_it() -> None:
    volatile = {"checkpoint": False}
    story = Story(node("a", **volatile), node("b", 0, **volatile), node("c", 1))
    for task_id in ("a", "b"):
        story.start()
        story.end(task_id, Outcome("value", value=VALUE, checkpoint=False))
    assert sorted(lost_values(story.state)) == ["a", "b"]
    story.start()
    story.fail("c")
    assert lost_values(story.state) == []
    assert sorted(lost_values(story.state, ["c"])) == ["a", "b"]


# --- outcomes --------------------------------------------------------------------------------------


def test_late_and_repeated_outcomes_say_nothing() -> None:
    story = Story(node("a"), node("b", 0))
    story.start()
    assert facts_of(story.state, "a", 2, Outcome("value", value=VALUE), 0.0) == []
    assert len(story.end("a")) == 1
    for outcome in (
        Outcome("value", value=VALUE),
        Outcome("lost", error=ERROR),
        Outcome("stopped"),
    ):
        assert facts_of(story.state, "a", 1, outcome, 0.0) == []
    assert facts_of(story.state, "b", 1, Outcome("value", value=VALUE), 0.0) == []


@pytest.mark.parametrize(
    ("cause", "retry_exceptions", "budget", "failures", "again"),
    [
        ("system", False, 3, 2, True), ("system", False, 3, 3, False), ("system", True, 0, 0, False),
        ("application", False, 3, 0, False), ("application", True, 3, 2, True),
        ("application", True, 3, 3, False), ("application", True, -1, 10**6, True),
        ("application", False, -1, 0, False), ("system", False, -1, 10**6, True),
    ],
)  # fmt: skip
def test_the_retry_budget(
    cause: Any, retry_exceptions: bool, budget: int, failures: int, again: bool
) -> None:
    story = Story(node("a", max_retries=budget, retry_exceptions=retry_exceptions))
    story.state.tasks["a"].failures = failures
    assert may_retry(story.state.tasks["a"], cause) is again


def test_both_kinds_of_failure_use_one_budget_and_attempts_are_counted() -> None:
    story = Story(node("a", max_retries=2, retry_exceptions=True))
    for kind, wanted in (("lost", "retry"), ("error", "retry"), ("lost", "final")):
        assert story.start() == ["a"]
        assert [f.data["next"] for f in story.fail("a", kind)] == [wanted]
    assert story.state.tasks["a"].attempt == 3


def test_an_error_is_caught_by_the_task_itself_first() -> None:
    story = Story(node("a", catch_exceptions=True), node("b", 0))
    story.start()
    facts = story.fail("a")
    assert [(f.kind, f.data.get("next"), f.data.get("caught")) for f in facts] == [
        (Kind.FAILED, "caught", None),
        (Kind.SUCCEEDED, None, True),
    ]
    assert story.start() == ["b"]


def test_an_error_below_is_caught_by_the_ancestor_and_siblings_are_abandoned() -> None:
    story = Story(node("p", catch_exceptions=True), node("z", 0))
    story.start()
    below = Graph((node("x"), node("y"), node("w"), node("s", 0, 1, 2)))
    story.end("p", Outcome("graph", graph=below))
    assert story.start() == ["x", "y", "w"]
    story.end("w")
    facts = story.fail("x")
    canceled = sorted(f.task_id or "" for f in facts if f.kind is Kind.TASK_CANCELED)
    assert canceled == ["s", "y"]
    assert story.statuses() == {
        "p": "SUCCESSFUL", "z": "PENDING", "x": "FAILED", "y": "CANCELED", "w": "SUCCESSFUL", "s": "CANCELED",
    }  # fmt: skip
    # The consumer goes on, the abandoned sibling is stopped, and a second failure says nothing.
    assert [type(c) for c in story.plan()] == [StopTask, StartTask]
    assert story.fail("y") == []
    assert failed_tasks(story.state) == []


def test_a_catcher_does_not_catch_the_errors_of_its_inputs() -> None:
    story = Story(node("a"), node("b", 0, catch_exceptions=True))
    story.start()
    assert [f.data["next"] for f in story.fail("a")] == ["final"]


def test_a_system_failure_is_never_caught() -> None:
    story = Story(node("a", catch_exceptions=True, max_retries=0))
    story.start()
    assert [f.data["next"] for f in story.fail("a", "lost")] == ["final"]


# --- fold ------------------------------------------------------------------------------------------


def told(seed: int) -> Story:
    """A random workflow with random outcomes."""
    random = Random(seed)

    def graph(size: int) -> tuple[Node, ...]:
        nodes = []
        for position in range(random.randint(1, size)):
            upstream = random.sample(range(position), random.randint(0, min(3, position)))
            catch = random.choice((None, True, False))
            nodes.append(node("t", *upstream, catch_exceptions=catch, max_retries=1))
        return (*nodes, node("root", *range(len(nodes))))

    story = Story(*graph(6))
    for _ in range(60):
        story.start(window=random.randint(1, 4))
        if not story.state.in_flight:
            break
        task_id = random.choice(list(story.state.in_flight))
        kind = random.choice(("value", "value", "value", "graph", "error", "lost", "stopped"))
        outcome = Outcome(kind, value=VALUE, graph=Graph(graph(3)), error=ERROR)  # type: ignore[arg-type]
        if not story.end(task_id, outcome):
            story.state.settle(task_id)
    return story


def picture(state: WorkflowState) -> Any:
    tasks = {
        t.task_id: (t.status, t.missing, t.unread, t.failures, t.value, t.continued_to)
        for t in state.tasks.values()
    }
    return state.status, state.error, tasks, list(state.ready), state.names, state.last_seq


@given(st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_every_prefix_of_a_journal_is_a_valid_state_and_folding_is_a_function(seed: int) -> None:
    records = told(seed).records
    accepted = next(n for n, r in enumerate(records) if r.kind == Kind.STATUS)
    for length in range(accepted, len(records) + 1):
        state = fold(records[:length])
        assert picture(state) == picture(fold(records[:length]))
        for task in state.tasks.values():
            done = [state.tasks[u].status is TaskStatus.SUCCESSFUL for u in task.upstream]
            assert task.missing == done.count(False)
            assert (task.task_id in state.ready) == (
                task.status is TaskStatus.PENDING and all(done)
            )
        plan(state, 0.0, window=4)


@given(st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_the_live_state_is_the_fold_of_its_journal(seed: int) -> None:
    story = told(seed)
    folded = fold(story.records)
    assert picture(folded)[2] == picture(story.state)[2]


def test_unknown_kinds_of_record_are_passed_over() -> None:
    state = fold([Record(1, 0.0, "from the future", "nobody", None, {"x": 1})])
    assert state.last_seq == 1


def test_the_core_needs_the_standard_library_alone() -> None:
    # `import rayflow` is the public API and brings Ray; the core itself must not.
    code = (
        "import sys, types; package = types.ModuleType('rayflow'); package.__path__ = ['rayflow'];"
        "sys.modules['rayflow'] = package;"
        "import rayflow.core.planner, rayflow.core.outcomes, rayflow.core.ids, rayflow.core.retry;"
        "print(sorted({'ray', 'pyarrow', 'numpy', 'cloudpickle'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


# --- suspending ------------------------------------------------------------------------------------


def test_a_suspended_workflow_starts_nothing_stops_what_runs_and_is_resumable() -> None:
    story = Story(node("a"), node("b"), node("c", 0, 1))
    story.start(window=1)
    story.tell(Fact(Kind.SUSPEND_REQUESTED))
    assert story.plan() == [StopTask("a")]
    assert story.end("a", Outcome("stopped")) == []
    story.state.settle("a")
    assert story.plan() == [Finish(WorkflowStatus.RESUMABLE, reason="suspended")]
    story.status(WorkflowStatus.RESUMABLE)
    assert story.plan() == []
    story = retold(story)
    story.tell(Fact(Kind.RESUMED, data={"reset": []}))
    assert story.start() == ["a", "b"]


def test_a_pending_workflow_that_is_suspended_is_resumable_at_once() -> None:
    story = Story(node("a"))
    story.status(WorkflowStatus.PENDING)
    story.tell(Fact(Kind.SUSPEND_REQUESTED))
    assert story.plan() == [Finish(WorkflowStatus.RESUMABLE, reason="suspended")]


def test_an_end_that_came_first_is_not_turned_into_a_suspension() -> None:
    story = Story(node("a"))
    story.start()
    story.tell(Fact(Kind.SUSPEND_REQUESTED))
    story.end("a")
    assert story.plan() == [Finish(WorkflowStatus.SUCCESSFUL)]
    story.tell(Fact(Kind.CANCEL_REQUESTED))
    assert story.plan() == [Finish(WorkflowStatus.CANCELED)]


def retold(story: Story) -> Story:
    """The same story as somebody else reads it: nothing is under way."""
    story.state = fold(story.records)
    return story
