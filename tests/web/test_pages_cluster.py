"""The cluster page, and the watch that looks at the machines for it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from celery import Celery
from django.contrib.auth.models import User
from django.utils import timezone

from tests.web import factories
from tests.web.fake_gateway import FakeGateway
from tests.web.pages import check_markup, signed_in, text_of
from workflows_app import cluster_samples, cluster_watch
from workflows_app.models import ClusterSample

pytestmark = pytest.mark.django_db


@pytest.fixture
def no_celery(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker where nobody listens."""
    # Not the current application: other tests reach theirs by that.
    nobody = Celery("nobody", broker="redis://127.0.0.1:1/0", set_as_current=False)
    nobody.conf.broker_transport_options = {"socket_connect_timeout": 0.2}
    nobody.conf.broker_connection_retry = False
    monkeypatch.setattr("rayflow_web.celery.app", nobody)


def test_a_sample_is_taken_and_shown(
    engine: FakeGateway, no_celery: None, administrator: User
) -> None:
    factories.healthy()
    sample = cluster_watch.take(engine)
    assert sample.resources["CPU"] == [1.0, 4.0]
    text = text_of(signed_in(administrator).get("/cluster/"))
    assert check_markup(text).faults == []
    assert "1 of 4" in text
    assert "10.0.0.1" in text
    assert "broker of Celery did not answer" in text


def test_a_cluster_that_does_not_answer_is_noted(engine: FakeGateway, no_celery: None) -> None:
    engine.is_down = True
    sample = cluster_watch.take(engine)
    assert "did not answer" in sample.problem
    assert cluster_samples.resources(sample) == []


def test_old_samples_go_and_the_chart_is_thinned(engine: FakeGateway, no_celery: None) -> None:
    now = timezone.now()
    ClusterSample.objects.bulk_create(
        ClusterSample(time=now - timedelta(seconds=10 * n), resources={"CPU": [n % 4, 4]})
        for n in range(2_000)
    )
    ClusterSample.objects.create(time=now - timedelta(days=2), resources={})
    cluster_watch.take(engine)
    assert not ClusterSample.objects.filter(time__lt=now - timedelta(hours=25)).exists()
    history = cluster_samples.history()
    assert 200 < len(history["times"]) <= cluster_samples.MOST_POINTS
    assert history["times"] == sorted(history["times"])
    assert all(len(each["values"]) == len(history["times"]) for each in history["series"])


def test_without_a_fresh_sample_the_page_says_what_is_missing(administrator: User) -> None:
    factories.healthy()
    ClusterSample.objects.create(
        time=timezone.now() - timedelta(minutes=5), resources={"CPU": [1, 2]}
    )
    assert "Nobody looks at the machines" in text_of(signed_in(administrator).get("/cluster/"))


def test_no_worker_is_a_dead_end_that_is_explained(administrator: User) -> None:
    factories.healthy()
    ClusterSample.objects.create(time=timezone.now(), resources={"CPU": [1, 2]}, queued=3)
    text = text_of(signed_in(administrator).get("/cluster/"))
    assert "No Celery worker answers" in text
    assert "3 messages waiting" in text
