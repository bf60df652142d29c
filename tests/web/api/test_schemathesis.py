"""schemathesis against the API: no server error, and no status, media type or body that the schema does not promise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.contrib.auth.models import User
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_framework.throttling import SimpleRateThrottle
from schemathesis import checks

from tests.web import factories
from tests.web.fake_gateway import FakeGateway
from workflows_app import tokens
from workflows_app.api import schema as api_schema
from workflows_app.models import Schedule

CHECKS = (
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
)


promised = schemathesis.openapi.from_dict(api_schema.document())
promised.app = get_wsgi_application()


@pytest.fixture
def one_connection() -> Iterator[None]:
    """As for Django's own test client: a request does not close the connection of the test."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def secret(
    one_connection: None, administrator: User, engine: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> str:
    """A token that may do everything, and something of every kind to meet."""
    monkeypatch.setattr(SimpleRateThrottle, "allow_request", lambda *_: True)
    factories.definition("digits_training")
    owner = factories.workflow("etl", "FAILED", error=factories.error("fit"))
    factories.tasks(owner, [("fit", 2, "FAILED")])
    Schedule.objects.create(name="nightly", definition="digits_training", every_seconds=60)
    return str(tokens.create(administrator, "t", scope="admin")[1])


OPERATIONS = [found.ok() for found in promised.get_all_operations()]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
@settings(
    max_examples=4,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def test_the_api_keeps_what_its_schema_promises(
    operation: Any, secret: str, data: st.DataObject
) -> None:
    case = data.draw(operation.as_strategy())
    if case.query:
        case.query.pop("wait", None)  # it would only make the test slow
    case.call_and_validate(
        checks=CHECKS, headers={"Authorization": f"Bearer {secret}", "Host": "localhost"}
    )
