"""How `rayflow up` sees that a Ray head has lost its node."""

from __future__ import annotations

import subprocess

import psutil

from rayflow.cli.up.ray_head import has_raylet
from tests.waiting import until


def test_a_head_that_was_killed_is_not_taken_for_one_that_has_lost_its_node() -> None:
    with subprocess.Popen(["sleep", "60"]) as head:
        assert not has_raylet(head.pid)
        head.kill()
        until(lambda: psutil.Process(head.pid).status() == psutil.STATUS_ZOMBIE)
        assert has_raylet(head.pid)
        head.wait()
        assert has_raylet(head.pid)
