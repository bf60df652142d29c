"""Where the console's definitions come from."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from django.conf import settings
from django.test import override_settings

from workflows_app.engine import RayGateway

FLOWS = """
import ray
from rayflow import workflow

@ray.remote
def sell(item: str) -> str:
    return item

@workflow.definition(name="{name}")
def selling(item: str = "book"):
    return sell.bind(item)
"""


def make_app(folder: Path, name: str, flows: str) -> None:
    (folder / name).mkdir()
    (folder / name / "__init__.py").touch()
    (folder / name / "flows.py").write_text(flows)


@pytest.fixture
def apps_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def installed(name: str) -> AbstractContextManager[None]:
    return override_settings(INSTALLED_APPS=[*settings.INSTALLED_APPS, name])


def test_flows_of_an_installed_app_are_found(
    apps_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_app(apps_folder, "shop", FLOWS.format(name="selling"))
    monkeypatch.setenv("RAYFLOW_FLOWS", "examples.trip_booking")
    with installed("shop"):
        found = {each.name: each.module for each in RayGateway().definitions()}
    assert found == {"trip_booking": "examples.trip_booking", "selling": "shop.flows"}


def test_a_broken_flows_file_takes_nothing_else_down(
    apps_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    make_app(apps_folder, "broken_shop", "import no_such_module")
    monkeypatch.setenv("RAYFLOW_FLOWS", "examples.trip_booking")
    with installed("broken_shop"):
        assert [each.name for each in RayGateway().definitions()] == ["trip_booking"]
    assert "broken_shop.flows" in caplog.text
