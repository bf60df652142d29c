"""Changes workflows at a steady rate, as the follower does; prints which, and when each was committed."""

from __future__ import annotations

import random
import sys
import time
from typing import Any

TASKS = 20


def begin(workflows: int) -> None:
    """Make workflows that run."""
    engine, follow = _parts()
    for n in range(workflows):
        _start(engine, f"w{n}")
        follow([f"w{n}"])


def change(workflows: int, rate: float, seconds: float, lose: float, records: float) -> None:
    """Change them one after the other, ``rate`` times a second, ``records`` tasks of one each time.

    A share ``lose`` of the doorbells gets lost.
    """
    if lose:
        _lose(lose)
    engine, follow = _parts()
    for n in range(workflows):
        _start(engine, f"w{n}")  # as it was made, so that its records go on where they ended
    begun = time.monotonic()
    number = 0
    while time.monotonic() - begun < seconds:
        workflow_id = f"w{number % workflows}"
        for each in range(int(records)):
            task = f"t_{(number // workflows + each) % TASKS}"
            kind = "heartbeat" if (number + each) % 2 else "started"
            engine.write(workflow_id, kind, task, 1, details={})
        follow([workflow_id])
        sys.stdout.write(f"{workflow_id} {len(engine.journals[workflow_id])} {time.time()}\n")
        number += 1
        time.sleep(max(0.0, begun + number / rate - time.monotonic()))


def _parts() -> tuple[Any, Any]:
    from tests.web.fake_gateway import FakeGateway
    from workflows_app.follower import Follower

    engine = FakeGateway()
    return engine, Follower(engine).follow


def _start(engine: Any, workflow_id: str) -> None:
    from tests.web.stories import begin as begin_story

    begin_story(engine, workflow_id, tuple(f"t_{n}" for n in range(TASKS)))


def _lose(share: float) -> None:
    from workflows_app import after_commit

    ring, dice = after_commit._ring_now, random.Random(1)

    def unreliable(topics: dict[str, int]) -> None:
        kept = {topic: rev for topic, rev in topics.items() if dice.random() >= share}
        if kept:
            ring(kept)

    after_commit._ring_now = unreliable


if __name__ == "__main__":
    import django

    django.setup()
    change(int(sys.argv[1]), *map(float, sys.argv[2:6]))
