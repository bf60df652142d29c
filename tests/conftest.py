"""What every test shares: its tier, known from its folder, and the order of the tiers.

Quick tiers run first, so that a broken rule is reported in seconds and not after the browser tests.
`make test` has two processes. The tests of a tier that starts clusters or instances stay in one of them, one
after the other.
"""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for each poll hides what failed

TESTS = Path(__file__).parent
GROUPS = {"engine": "engine", "crash": "crash", "browser": "instances", "acceptance": "instances"}
TIERS = ("unit", "storage", "engine", "crash", "web", "browser", "acceptance")


def tier_of(path: Path) -> str:
    """The tier of a test file: the name of its folder directly below tests/."""
    tier = path.relative_to(TESTS).parts[0]
    if tier not in TIERS:
        raise pytest.UsageError(
            f"{path} lies in no tier; move it into one of tests/{{{','.join(TIERS)}}}"
        )
    return tier


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with its tier and sort by tier, keeping the order within one."""
    for item in items:
        item.add_marker(tier_of(item.path))
    items.sort(key=lambda item: TIERS.index(tier_of(item.path)))


class Groups(LoadScopeScheduling):
    """Gives the tests of a group to one process, and each other test to the one that is free."""

    def _split_scope(self, nodeid: str) -> str:
        tier = Path(nodeid.partition("::")[0]).parts[1]
        return GROUPS.get(tier, nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Groups:
    """Not `--dist loadgroup`: its groups are lost on the way with pytest 9.2 and pytest-xdist 3.8."""
    config.option.loadscopereorder = False  # the order of the tiers, not of the groups' sizes
    return Groups(config, log)
