"""``finally_`` tasks: when they are due, in which order they run, and what their outcomes change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import ray

from rayflow import workflow
from rayflow.core import finals
from rayflow.core.graph import Graph, Node, task_facts
from rayflow.core.outcomes import Outcome
from rayflow.core.planner import Finish, StopTask, WakeAt, failed_tasks
from rayflow.core.records import Fact, Kind, WorkflowStatus
from rayflow.retry import Retry
from rayflow.runtime import code, nodes
from tests.unit.story import Story, node
from tests.unit.test_dag import add, graph, one


def final(name: str, owner: int, *upstream: int, **options: Any) -> Node:
    return replace(node(name, *upstream, **options), finally_of=owner)


# --- when and in which order ---------------------------------------------------------------------------


def test_they_run_one_after_the_other_when_all_else_has_succeeded_the_latest_owner_first() -> None:
    story = Story(node("a"), node("b", 0), final("c", 0), final("d", 1), final("e", 1, 3))
    for task_id in ("a", "b", "d", "e", "c"):
        assert story.start() == [task_id]
        assert story.start() == []
        story.end(task_id)
    assert story.plan() == [Finish(WorkflowStatus.SUCCESSFUL)]


def test_they_run_after_a_failure_which_stays_the_end() -> None:
    story = Story(node("a"), node("b", 0), final("c", 0))
    story.start()
    story.fail("a")
    assert story.start() == ["c"]
    story.fail("c")
    [end] = story.plan()
    assert isinstance(end, Finish)
    assert (end.status, (end.error or {})["task_id"]) == (WorkflowStatus.FAILED, "a")


def test_a_cancel_stops_the_others_first_and_does_not_stop_them() -> None:
    story = Story(node("a"), node("b", 0), final("c", 0))
    story.start()
    story.tell(Fact(Kind.CANCEL_REQUESTED))
    assert story.plan() == [StopTask("a")]
    story.end("a", Outcome("stopped"))
    assert story.start() == ["c"]
    assert story.plan() == []
    story.end("c")
    assert story.plan() == [Finish(WorkflowStatus.CANCELED)]


def test_a_suspended_workflow_has_no_end_yet() -> None:
    story = Story(node("a"), final("b", 0))
    story.tell(Fact(Kind.SUSPEND_REQUESTED))
    [end] = story.plan()
    assert isinstance(end, Finish)
    assert end.status is WorkflowStatus.RESUMABLE


def test_one_whose_owner_had_not_all_its_inputs_does_not_run() -> None:
    story = Story(node("a"), node("b", 0), final("c", 1))
    story.start()
    story.fail("a")
    [end] = story.plan()
    assert isinstance(end, Finish)


def test_one_runs_only_if_its_own_inputs_have_values() -> None:
    story = Story(node("a"), node("b"), node("c", 0, 1), final("d", 1, 0), final("e", 0, 1))
    story.start()
    story.end("b")
    story.fail("a")
    assert story.start() == ["e"]
    story.end("e")
    [end] = story.plan()
    assert isinstance(end, Finish)


# --- what becomes of them ------------------------------------------------------------------------------


def test_a_failure_after_success_is_the_end_and_the_others_run_all_the_same() -> None:
    story = Story(node("a"), node("b", 0), final("c", 0), final("d", 1))
    for task_id in ("a", "b"):
        story.start()
        story.end(task_id)
    assert story.start() == ["d"]
    story.fail("d")
    assert story.start() == ["c"]
    story.end("c")
    [end] = story.plan()
    assert isinstance(end, Finish)
    assert (end.status, (end.error or {})["task_id"]) == (WorkflowStatus.FAILED, "d")


def test_one_that_is_tried_again_waits_as_it_says() -> None:
    retry = Retry(initial=10, jitter=0).describe()
    story = Story(node("a"), final("b", 0, retry=retry))
    story.start()
    story.end("a")
    assert story.start() == ["b"]
    story.fail("b")
    assert story.plan() == [WakeAt(10.0)]
    story.now = 10.0
    assert story.start() == ["b"]


def test_one_may_continue_as_a_graph_with_finally_tasks_of_its_own() -> None:
    story = Story(node("a"), final("b", 0), final("c", 0, 1))
    story.start()
    story.end("a")
    story.start()
    inner = Graph((node("x"), final("y", 0)), 1)
    story.end("b", Outcome("graph", graph=inner))
    for task_id in ("x", "c", "y"):
        assert story.start() == [task_id]
        story.end(task_id)
    assert story.plan() == [Finish(WorkflowStatus.SUCCESSFUL)]


def test_they_and_their_inputs_are_stored_whatever_the_options_say() -> None:
    volatile = {"checkpoint": False}
    nodes = (node("a", **volatile), node("b", 0, **volatile), final("c", 1, 0, **volatile))
    facts, root = task_facts(Graph(nodes, 1), {}, {})
    assert [fact.data["options"]["checkpoint"] for fact in facts] == [True, False, True]
    assert root == "b"


# --- resume --------------------------------------------------------------------------------------------


def resume(story: Story) -> list[str]:
    reset = failed_tasks(story.state)
    reset += finals.again(story.state, reset)
    story.tell(Fact(Kind.RESUMED, data={"reset": reset}))
    return reset


def test_they_run_again_at_the_new_end_of_a_failed_workflow() -> None:
    story = Story(node("a"), final("b", 0), final("c", 0, 1))
    story.start()
    story.fail("a")
    for task_id in ("b", "c"):
        assert story.start() == [task_id]
        story.end(task_id)
    story.status(WorkflowStatus.FAILED, story.state.error)
    assert resume(story) == ["a", "b", "c"]
    for task_id in ("a", "b", "c"):
        assert story.start() == [task_id]
        story.end(task_id)
    assert story.plan() == [Finish(WorkflowStatus.SUCCESSFUL)]


def test_one_that_had_continued_as_a_graph_begins_with_its_body_again_when_its_input_does() -> None:
    story = Story(node("a", max_retries=0), final("c", 0), final("d", 0, 1))
    story.start()
    story.fail("a")
    below = Graph((node("x"), node("y", 0), final("z", 1)), 1)
    while ready := story.start():
        continues = Outcome("graph", graph=below) if ready[0] in ("c", "d") else None
        story.end(ready[0], continues)
    assert len(story.state.tasks) == 9
    story.status(WorkflowStatus.FAILED)
    resume(story)
    assert list(story.state.tasks) == ["a", "c", "d"]
    story.start()
    story.fail("a")
    assert story.start() == ["c"]
    assert story.start() == []  # its graph is no more, and "d" waits for its new value
    story.end("c")
    assert story.start() == ["d"]
    story.end("d", Outcome("graph", graph=Graph((node("x"),))))
    assert story.start() == ["x_2"]


def test_only_those_that_failed_run_again_when_all_else_is_done() -> None:
    story = Story(node("a"), node("b", 0), final("c", 0), final("d", 1))
    for task_id in ("a", "b", "d"):
        story.start()
        story.end(task_id)
    story.start()
    story.fail("c")
    story.status(WorkflowStatus.FAILED, story.state.error)
    assert resume(story) == ["c"]
    assert story.start() == ["c"]


# --- from a DAG ----------------------------------------------------------------------------------------


@ray.remote
def clean(*values: Any) -> None: ...


def test_finally_nodes_come_after_the_root_and_share_its_nodes() -> None:
    shared = add.bind(1, 2)
    cleanup = clean.bind(shared, one.bind())
    root = add.options(**workflow.options(finally_=cleanup)).bind(shared, 4)
    made = graph(root)
    names = [n.function for n in made.nodes]
    assert names == ["add", "add", "one", "clean"]
    assert [n.finally_of for n in made.nodes] == [None, None, 1, 1]
    assert made.nodes[3].upstream == (0, 2)
    assert made.finals == 2


def test_finally_nodes_do_not_change_the_ids_of_the_others() -> None:
    root = one.options(**workflow.options(finally_=one.bind())).bind(one.bind())
    facts, root_id = task_facts(graph(root), {}, {})
    ids = [fact.task_id for fact in facts]
    assert ids == ["tests.unit.test_dag.one", *(f"tests.unit.test_dag.one_{n}" for n in (1, 2))]
    assert root_id == ids[1]
    assert [fact.data["finally_of"] for fact in facts] == [None, None, root_id]


def test_a_decorated_function_gives_its_finally_to_each_of_its_tasks_or_refuses() -> None:
    @workflow.options(finally_=clean.bind())
    @ray.remote
    def decorated(*values: Any) -> None: ...

    assert graph(decorated.bind()).finals == 1
    with pytest.raises(ValueError, match="bind one of its own"):
        graph(decorated.bind(decorated.bind()))


def test_a_node_of_the_workflow_itself_cannot_be_the_finally_of_a_task() -> None:
    first = one.bind()
    with pytest.raises(ValueError, match="bind one of its own"):
        graph(one.options(**workflow.options(finally_=first)).bind(first))


def test_a_long_chain_of_finally_nodes_needs_no_recursion() -> None:
    node: Any = one.bind()
    for _ in range(3000):
        node = one.options(**workflow.options(finally_=node)).bind()
    assert graph(node).finals == 3000


def test_what_is_no_dag_is_refused() -> None:
    with pytest.raises(ValueError, match="finally_"):
        workflow.options(finally_=clean)


def test_the_stored_code_of_a_task_does_not_hold_its_finally_dag() -> None:
    def body() -> int:
        return 1

    plain = ray.remote(body).bind()
    final = workflow.options(finally_=one.bind())(ray.remote(body)).bind()
    assert nodes.call_of(final).options.keys() == {"finally_"}
    assert code.dump(nodes.call_of(final).function) == code.dump(nodes.call_of(plain).function)
