"""`rayflow up` as its user meets it. The tests share one instance and run in this order."""

from __future__ import annotations

import os
import re
import signal
import stat
import time
from pathlib import Path

import httpx
import psutil
import pytest

from tests.acceptance.conftest import Instance, free_port, rayflow, wait_until
from tests.killing import kill_all

PARTS = ("celery", "beat", "follower", "web", "redis", "ray")


def log_in(client: httpx.Client, instance: Instance) -> None:
    """Fill in the login form as a browser does."""
    page = client.get("/login/")
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
    assert token is not None, page.text[:500]
    form = {
        "username": "operator",
        "password": instance.password,
        "csrfmiddlewaretoken": token[1],
    }
    answer = client.post("/login/", data=form, headers={"Referer": f"{instance.url}/login/"})
    assert answer.status_code == 302, answer.text[:500]


def is_healthy(instance: Instance) -> bool:
    """Whether the console answers."""
    try:
        return httpx.get(f"{instance.url}/healthz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def test_the_operator_logs_in_with_the_password_that_the_first_start_made(
    instance: Instance,
) -> None:
    with httpx.Client(base_url=instance.url, timeout=20) as client:
        log_in(client, instance)
        assert client.get("/").status_code == 200


def test_the_password_is_printed_once_and_kept_where_only_the_owner_reads_it(
    instance: Instance,
) -> None:
    assert sum(instance.password in line for line in instance.output) == 1
    mode = (instance.folder / "operator-password").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


def test_no_log_file_holds_the_password(instance: Instance) -> None:
    logs = list((instance.folder / "logs").glob("*.log"))
    assert logs
    assert not [log for log in logs if instance.password in log.read_text(errors="replace")]


def test_a_token_from_the_command_line_opens_the_api(instance: Instance) -> None:
    made = rayflow(
        *("token", "create", "robot", "--user", "operator", "--scope", "read"),
        *("--data-dir", str(instance.folder)),
    )
    assert made.returncode == 0, made.stderr
    assert re.fullmatch(r"\S+\n", made.stdout)
    headers = {"Authorization": f"Bearer {made.stdout.strip()}"}
    assert httpx.get(f"{instance.url}/api/v1/workflows/", headers=headers).status_code == 200


def test_a_token_for_an_unknown_account_is_one_line_and_a_failure(instance: Instance) -> None:
    made = rayflow(
        *("token", "create", "robot", "--user", "nobody", "--data-dir", str(instance.folder))
    )
    assert made.returncode != 0
    assert made.stdout == ""
    assert len(made.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("by", ["option", "environment"])
def test_a_second_start_on_the_same_folder_is_refused_and_names_the_first(
    instance: Instance, by: str
) -> None:
    folder = str(instance.folder)
    option = ("--data-dir", folder) if by == "option" else ()
    environment = {"RAYFLOW_DATA_DIR": folder} if by == "environment" else {}
    refused = rayflow("up", "--port", str(free_port()), *option, **environment)
    assert refused.returncode != 0
    assert len(refused.stderr.strip().splitlines()) == 1
    assert f"pid {instance.pid}" in refused.stderr


def test_a_taken_port_is_one_line_and_a_failure(instance: Instance, tmp_path: Path) -> None:
    refused = rayflow("up", "--port", str(instance.port), "--data-dir", str(tmp_path / "data"))
    assert refused.returncode != 0
    assert refused.stdout == ""
    assert len(refused.stderr.strip().splitlines()) == 1
    assert f"port {instance.port}" in refused.stderr


def test_a_folder_that_cannot_be_written_is_one_line_and_a_failure(tmp_path: Path) -> None:
    # A file in its place, because root may write everywhere.
    in_the_way = tmp_path / "data"
    in_the_way.write_text("")
    refused = rayflow("up", "--port", str(free_port()), "--data-dir", str(in_the_way))
    assert refused.returncode != 0
    assert len(refused.stderr.strip().splitlines()) == 1
    assert str(in_the_way) in refused.stderr


def test_a_wrong_value_in_the_environment_is_one_line_and_a_failure(tmp_path: Path) -> None:
    refused = rayflow(
        *("up", "--port", str(free_port()), "--data-dir", str(tmp_path / "data")),
        RAYFLOW_DEBUG="perhaps",
    )
    assert refused.returncode != 0
    assert len(refused.stderr.strip().splitlines()) == 1
    assert "RAYFLOW_DEBUG" in refused.stderr


@pytest.mark.parametrize("part", PARTS)
def test_a_killed_part_comes_back_and_the_instance_stays(instance: Instance, part: str) -> None:
    # Given a part that runs
    before, printed = instance.part_pid(part), len(instance.output)
    # When it is killed
    os.kill(before, signal.SIGKILL)
    # Then the instance says so, starts it again and goes on
    instance.wait_for_line(f"{part} stopped unexpectedly (killed by SIGKILL)", after=printed)
    instance.wait_for_line(f"{part} is running again", after=printed)
    assert instance.part_pid(part) != before
    wait_until(lambda: is_healthy(instance), what="a healthy console")


def test_a_ray_head_whose_node_has_ended_is_started_again(instance: Instance) -> None:
    # Given a head that lives on although somebody has killed everything of Ray's that runs Python
    head, printed = instance.part_pid("ray"), len(instance.output)
    victims = [p for p in psutil.Process(head).children(recursive=True) if "ray::" in p.name()]
    assert victims
    kill_all(victims)
    # Then the instance notices that it has no node any more
    instance.wait_for_line("ray stopped unexpectedly", after=printed)
    instance.wait_for_line("ray is running again", after=printed)
    assert instance.part_pid("ray") != head
    wait_until(lambda: is_healthy(instance), what="a healthy console")


def test_two_instances_run_side_by_side_and_one_stops_without_the_other(
    instance: Instance, another_instance: Instance
) -> None:
    # Given a second instance with its own port and folder
    another_instance.start()
    assert is_healthy(instance)
    assert is_healthy(another_instance)
    # When it is interrupted
    assert another_instance.stop(signal.SIGINT) == 0
    # Then nothing of it is left, and the first one runs on
    assert another_instance.processes() == []
    assert is_healthy(instance)


def test_a_stop_leaves_no_process_and_the_next_start_has_the_same_data(instance: Instance) -> None:
    # Given an instance with an account and a token
    password = instance.password
    token = rayflow("token", "create", "kept", RAYFLOW_DATA_DIR=str(instance.folder)).stdout.strip()
    # When it is stopped
    started = time.monotonic()
    assert instance.stop(signal.SIGTERM) == 0
    # Then nothing is left
    assert instance.processes() == []
    assert time.monotonic() - started < 15
    # And the next start continues with the same data
    instance.start()
    assert instance.password == password
    assert not [line for line in instance.output if password in line]
    headers = {"Authorization": f"Bearer {token}"}
    assert httpx.get(f"{instance.url}/api/v1/workflows/", headers=headers).status_code == 200


def test_a_start_after_the_supervisor_was_killed_ends_what_it_left(instance: Instance) -> None:
    # Given parts whose supervisor is gone
    left = instance.processes()
    instance.kill()
    # When the instance is started again
    instance.start()
    # Then none of the old processes runs beside the new ones
    assert not [process for process in left if process.is_running()]
    assert is_healthy(instance)
