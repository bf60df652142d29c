"""Questions to the registry that would read a whole table if they were asked the simple way."""

from __future__ import annotations

import pytest
from django.core.cache import cache
from django.utils import timezone

from tests.scale.statements import captured
from tests.web.fake_gateway import FakeGateway
from tests.web.stories import begin
from workflows_app import queries, seeding
from workflows_app.follower import Follower
from workflows_app.models import Task, Workflow

pytestmark = pytest.mark.django_db(transaction=True)


def test_different_values_come_in_order_and_once() -> None:
    assert queries.distinct_values(Workflow, "definition", limit=9) == []
    seeding.seed(300, timezone.now(), large=10)
    names = sorted(set(Workflow.objects.values_list("definition", flat=True)) - {None})
    assert queries.distinct_values(Workflow, "definition", limit=1000) == names
    assert queries.distinct_values(Workflow, "definition", limit=3) == names[:3]


def test_different_values_of_one_workflow(engine: FakeGateway, follower: Follower) -> None:
    begin(engine, "a", tasks=("fit_1", "fit_2", "it's", "été_1"))
    begin(engine, "b", tasks=("other",))
    follower.step(0)
    workflow = Workflow.objects.get(workflow_id="a")
    found = queries.distinct_values(Task, "name", limit=10, workflow_id=workflow.pk)
    assert sorted(found) == ["fit", "it's", "été"]


def test_the_groups_of_a_large_workflow_are_counted_once_for_each_change(
    engine: FakeGateway, follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "LARGE", 2)
    cache.clear()
    begin(engine, "a", tasks=("fit_1", "fit_2"))
    follower.step(0)
    for finished in range(2):
        workflow = Workflow.objects.get()
        (group,) = queries.task_groups(workflow)
        assert (group["total"], group["successful"]) == (2, finished)
        again, statements = captured(lambda workflow=workflow: queries.task_groups(workflow))
        assert (again, statements) == ([group], [])
        engine.write("a", "started", f"fit_{finished + 1}", 1)
        engine.write("a", "succeeded", f"fit_{finished + 1}", 1)
        follower.step(0)
