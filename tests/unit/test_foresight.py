"""What a resume would do, told from a state."""

from __future__ import annotations

from pathlib import Path

import pytest

from rayflow.core.foresight import foresee
from rayflow.core.graph import Graph
from rayflow.core.outcomes import Outcome
from rayflow.core.records import WorkflowStatus
from rayflow.runtime.foresight import plan_resume
from rayflow.storage import layout
from rayflow.storage.local import LocalStore
from tests.unit.story import VALUE, Story, node

RESUMABLE, FAILED = WorkflowStatus.RESUMABLE, WorkflowStatus.FAILED


def done(story: Story, *task_ids: str, checkpoint: bool = True) -> None:
    for task_id in task_ids:
        story.start()
        story.end(task_id, Outcome("value", value=VALUE, checkpoint=checkpoint))


def test_recorded_results_are_kept_and_the_rest_runs() -> None:
    story = Story(node("a"), node("b", 0), node("c", 1))
    done(story, "a")
    plan = foresee(story.state, RESUMABLE)
    assert (plan.workflow_id, plan.status) == ("w", RESUMABLE)
    assert (plan.reused, plan.runs) == (("a",), ("b", "c"))


def test_failed_and_stopped_tasks_run_again() -> None:
    story = Story(node("a"), node("b"), node("c"), node("z", 0, 1, 2))
    done(story, "a")
    story.fail("b")
    story.end("c", Outcome("stopped"))
    assert foresee(story.state, FAILED).runs == ("b", "c", "z")


def test_a_result_without_a_checkpoint_is_computed_again_if_it_is_needed() -> None:
    story = Story(node("a", checkpoint=False), node("b", 0), node("c", 0, 1))
    done(story, "a", checkpoint=False)
    done(story, "b")
    assert foresee(story.state, RESUMABLE).runs == ("a", "c")
    done(story, "c")
    story.status(WorkflowStatus.SUCCESSFUL)
    assert foresee(story.state, WorkflowStatus.SUCCESSFUL).runs == ()


def test_a_decision_to_continue_is_kept() -> None:
    story = Story(node("a"))
    story.start()
    story.end("a", Outcome("graph", graph=Graph((node("inner"), node("outer", 0)))))
    done(story, "inner")
    plan = foresee(story.state, RESUMABLE)
    assert (plan.reused, plan.runs) == (("a", "inner"), ("outer",))


def test_nothing_runs_of_a_canceled_workflow() -> None:
    story = Story(node("a"), node("b", 0))
    done(story, "a")
    plan = foresee(story.state, WorkflowStatus.CANCELED)
    assert (plan.reused, plan.runs) == (("a",), ())


@pytest.mark.parametrize("has_code", [True, False])
def test_what_the_storage_does_not_have_is_named(tmp_path: Path, has_code: bool) -> None:
    store = LocalStore(str(tmp_path))
    if has_code:
        store.write(layout.function("f" * 64), [b"code"])
    story = Story(node("a"), node("b", 0))
    story.state.runtime_env = {"working_dir": "gcs://rayflow_1.zip", "env_vars": {"A": "secret"}}
    missing = plan_resume(store, story.state, RESUMABLE).missing
    assert any("packages/rayflow_1.zip" in sentence for sentence in missing)
    assert any("The code of task 'a' is missing" in sentence for sentence in missing) != has_code
    assert "secret" not in str(missing)
