"""The examples of the old library's concepts page and of its API page that are about virtual actors.

As written there, but for ``from ray import workflow`` and one line of the API page, which calls the method
by a name that does not exist: ``counter.run(incr)``.
"""

# The listings keep the style they were written in.
# mypy: ignore-errors

from __future__ import annotations

import pytest
import ray

from rayflow import workflow

pytestmark = pytest.mark.usefixtures("engine")


def test_a_persistent_virtual_actor_counter() -> None:
    @workflow.virtual_actor
    class Counter:
        def __init__(self):
            self.count = 0

        def incr(self):
            self.count += 1
            return self.count

        def __getstate__(self):
            return self.count

        def __setstate__(self, state):
            self.count = state

    c1 = Counter.get_or_create("counter_1")
    assert c1.incr.run() == 1
    assert c1.incr.run() == 2


def test_the_virtual_actor_of_the_api_page() -> None:
    @workflow.virtual_actor
    class Counter:
        def __init__(self, x: int):
            self.x = x

        # Mark a method as a readonly method. It would not modify the
        # state of the virtual actor.
        @workflow.virtual_actor.readonly
        def get(self):
            return self.x

        def incr(self):
            self.x += 1
            return self.x

        def __getstate__(self):
            return self.x

        def __setstate__(self, state):
            self.x = state

    # Create and run a virtual actor.
    counter = Counter.get_or_create(actor_id="Counter", x=1)
    assert ray.get(counter.incr.run_async()) == 2
    assert counter.get.run() == 2
    assert workflow.get_actor("Counter").get.run() == 2
