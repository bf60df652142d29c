"""The environment: a wrong value is one clear sentence, a secret is made once and kept private."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command

from rayflow_web import environment
from workflows_app import services

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RAYFLOW_DEBUG", "perhaps"),
        ("RAYFLOW_HTTPS", "2"),
        ("RAYFLOW_LOG_FORMAT", "xml"),
        ("RAYFLOW_ALLOWED_HOSTS", "http://flows.example.org"),
        ("RAYFLOW_ALLOWED_HOSTS", "flows example"),
        ("RAYFLOW_SECRET_KEY", "short"),
        ("DATABASE_URL", "mysql://localhost/flows"),
        ("DATABASE_URL", "flows.sqlite3"),
        ("REDIS_URL", "localhost:6379"),
        ("REDIS_URL", "redis://localhost:port"),
        ("RAYFLOW_DATA_DIR", "/proc/nowhere"),
    ],
)
def test_a_wrong_value_is_one_sentence_that_names_the_variable(
    name: str, value: str, tmp_path: Path
) -> None:
    with pytest.raises(environment.ConfigurationError) as caught:
        environment.read({"RAYFLOW_DATA_DIR": str(tmp_path), name: value})
    text = str(caught.value)
    assert text.startswith(name)
    assert text.endswith(".")
    assert "\n" not in text


def test_a_password_in_an_address_is_not_repeated(tmp_path: Path) -> None:
    env = {"RAYFLOW_DATA_DIR": str(tmp_path), "DATABASE_URL": "mysql://me:hunter2@host/db"}
    with pytest.raises(environment.ConfigurationError) as caught:
        environment.read(env)
    assert "hunter2" not in str(caught.value)


def test_a_program_with_a_wrong_value_ends_with_that_sentence_and_no_traceback(
    tmp_path: Path,
) -> None:
    env = {**os.environ, "RAYFLOW_DATA_DIR": str(tmp_path), "RAYFLOW_DEBUG": "perhaps"}
    env["DJANGO_SETTINGS_MODULE"] = "rayflow_web.settings"
    done = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert done.stderr == "rayflow: RAYFLOW_DEBUG is 'perhaps', but it must be 1 or 0.\n"


def test_the_web_application_starts_without_ray_and_without_the_library(tmp_path: Path) -> None:
    program = (
        "import sys, rayflow_web.asgi, workflows_app.tasks\n"
        "print([name for name in ('ray', 'rayflow', 'pyarrow') if name in sys.modules])"
    )
    env = {**os.environ, "RAYFLOW_DATA_DIR": str(tmp_path)}
    env["DJANGO_SETTINGS_MODULE"] = "rayflow_web.settings"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout == "[]\n"


def test_the_secret_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    env = {"RAYFLOW_DATA_DIR": str(tmp_path)}
    first = environment.read(env).secret_key
    assert len(first) >= 50
    assert environment.read(env).secret_key == first
    assert _mode(tmp_path / "secret-key") == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret-key"]


@pytest.mark.django_db
def test_the_operator_is_created_once_with_a_random_password_that_is_kept_private(
    tmp_path: Path,
) -> None:
    account = services.ensure_operator(tmp_path)
    assert account.password is not None
    assert account.password_file.read_text().strip() == account.password
    assert _mode(account.password_file) == 0o600
    user = User.objects.get(username="operator")
    assert user.check_password(account.password)
    assert isinstance(user, User)
    assert (user.is_staff, user.is_superuser) == (True, False)
    assert [group.name for group in user.groups.all()] == ["admin"]
    again = services.ensure_operator(tmp_path, password="another")
    assert (again.created, again.password) == (False, None)
    assert User.objects.get(username="operator").check_password(account.password)


@pytest.mark.django_db
def test_a_given_password_is_taken_and_not_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAYFLOW_OPERATOR_PASSWORD", "correct horse battery")
    call_command("ensure_operator")
    assert "correct horse" not in capsys.readouterr().out
    assert User.objects.get(username="operator").check_password("correct horse battery")
    call_command("ensure_operator")
    assert capsys.readouterr().out == "The account 'operator' exists.\n"


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_settings_of_a_deployment_have_no_weakness(tmp_path: Path) -> None:
    outer = {k: v for k, v in os.environ.items() if not k.startswith(("RAYFLOW_", "DJANGO_"))}
    environment_of_production = {
        **outer,
        "RAYFLOW_DATA_DIR": str(tmp_path),
        "RAYFLOW_HTTPS": "1",
        "RAYFLOW_ALLOWED_HOSTS": "flows.example.org",
    }
    checked = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "check", "--deploy", "--fail-level", "INFO"],
        env=environment_of_production,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
    assert "no issues (0 silenced)" in checked.stdout
