"""Random workflows: each body's value follows from its arguments and inputs alone, but for a roll."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

from rayflow.core.graph import Graph, Node
from rayflow.retry import Retry
from rayflow.testing.simulation import Attempt, Hang, InPlace, mapped, node


def number(value: Any) -> int:
    """An input as a number, whether or not its task catches. That of a timer is None."""
    if value is None:
        return 0
    if isinstance(value, tuple):
        return 1_000 if value[1] is not None else number(value[0])
    return int(value)


def add(attempt: Attempt) -> int:
    return int(attempt.arguments) + sum(map(number, attempt.inputs))


def flaky(attempt: Attempt) -> int:
    if attempt.call.attempt <= attempt.arguments % 3:
        raise ValueError("not yet")
    return add(attempt)


def roll(attempt: Attempt) -> int:
    """Another value every time: a recorded outcome must not rest on one that changes later."""
    return add(attempt) + 10_000 * next(ROLLS)


def hang(attempt: Attempt) -> int | Hang:
    """Takes too long, a few times: its node has a timeout."""
    if attempt.call.attempt <= attempt.arguments % 3:
        return Hang(heeds=attempt.arguments % 2 == 0, heartbeat=attempt.arguments)
    return add(attempt)


def leap(attempt: Attempt) -> InPlace:
    """Steps that run in place; the value of the last one is that of this task."""
    steps = (node("step", arguments=n) for n in range(attempt.arguments % 3 + 1))
    return InPlace(tuple(Graph((step,)) for step in steps), add(attempt))


def step(attempt: Attempt) -> int:
    """A step that had run in place, once more and by itself."""
    return int(attempt.arguments)


def each(attempt: Attempt) -> Graph:
    """Maps some numbers, and adds the values up."""
    random = Random(attempt.arguments)
    items = [random.randrange(1_000) for _ in range(random.randint(1, 4))]
    body, limit = random.choice(("add", "flaky", "deepen")), random.choice((None, 1, 2))
    nodes = mapped(body, items, attempt.call.task_id, limit, max_retries=4, retry_exceptions=True)
    return Graph((*nodes, node("add", *range(len(nodes)), arguments=1)))


def broken(attempt: Attempt) -> int:
    raise ValueError("never")


def expand(attempt: Attempt) -> Graph:
    return random_graph(Random(attempt.arguments), depth=1)


def deepen(attempt: Attempt) -> Graph:
    return random_graph(Random(attempt.arguments), depth=2)


BODIES = {
    body.__name__: body
    for body in (add, flaky, roll, hang, leap, step, each, broken, expand, deepen)
}
SIGNALS = ("red", "green")
ROLLS = itertools.count(1)


def random_wait(random: Random, upstream: Sequence[int]) -> Node:
    """A node that waits for a time or for a message; messages come at random, or not at all."""
    seconds = random.choice((0, 2, 20))
    wait: dict[str, Any] = {"kind": "timer", "seconds": seconds}
    if random.random() < 0.6:
        default = random.choice(({"value": 7}, {"value": 7}, None))
        name = random.choice(SIGNALS)
        wait = {"kind": "signal", "name": name, "seconds": seconds + 1, "on_timeout": default}
    retries = random.choice((0, 1))
    return node(
        "wait", *upstream, wait=wait, effect=True, max_retries=retries, retry_exceptions=True
    )


def random_node(random: Random, upstream: Sequence[int], depth: int) -> Node:
    if random.random() < 0.12:
        return random_wait(random, upstream)
    if upstream and random.random() < 0.08:
        wait = {"kind": "tasks", "seconds": random.choice((None, None, 2)), "count": 1}
        return replace(node("wait", wait=wait, effect=True), watches=tuple(upstream))
    bodies = ["add"] * 5 + ["flaky", "roll"] * 2 + ["hang", "leap", "broken"]
    body = random.choice(bodies + [["expand", "expand", "each"], ["deepen"], []][depth])
    return node(
        body,
        *upstream,
        arguments=random.randrange(1_000),
        max_retries=random.choice((0, 1, 3, 3, -1)),
        retry_exceptions=random.random() < 0.7,
        catch_exceptions=random.choice((None, None, True, False)),
        checkpoint=random.choice((None, None, None, "async", "async", True, False)),
        effect=random.random() < 0.2,
        retry=random_retry(random),
        judge=random.choice((None, None, "ValueError", "KeyError")),
        timeout=5.0 if body == "hang" else None,
        grace=random.choice((None, 0.0, 2.0)) if body == "hang" else None,
    )


def random_retry(random: Random) -> dict[str, Any] | None:
    if random.random() < 0.6:
        return None
    return Retry(
        max_attempts=random.choice((1, 2, 4)),
        initial=random.choice((0, 0.5, 30)),
        max=random.choice((1, 3600)),
        jitter=random.choice((0, 0.5, 1)),
        system_attempts=random.choice((1, 3, -1)),
    ).describe()


def endless(nodes: Node) -> bool:
    """Whether a node would be tried for ever."""
    return (
        nodes.function == "broken"
        and nodes.options.max_retries == -1
        and nodes.options.retry_exceptions
        and nodes.options.retry is None
    )


def random_graph(random: Random, depth: int = 0) -> Graph:
    """A DAG in which every node is needed by the last one. Most are small: those fail soonest."""
    largest = 6 - 2 * depth if random.random() < 0.3 else 2
    nodes: list[Node] = []
    unused: set[int] = set()
    for position in range(random.randint(1, largest)):
        count = random.randint(0, min(position, 3))
        upstream = random.sample(range(position), count)
        made = random_node(random, upstream, depth)
        while endless(made):
            made = random_node(random, upstream, depth)
        nodes.append(made)
        unused -= set(upstream)
        unused.add(position)
    nodes.append(node("add", *sorted(unused), arguments=random.randrange(1_000)))
    finals = random_finals(random, len(nodes) - 1, depth)
    return Graph((*nodes, *finals), len(finals))


def random_finals(random: Random, root: int, depth: int) -> list[Node]:
    """Some chains of ``finally_`` nodes, which use nodes of the graph and each other."""
    finals: list[Node] = []
    for owner in sorted(random.sample(range(root + 1), random.choice((0, 0, 0, min(2, root))))):
        upstream = random.sample(range(root), random.randint(0, min(root, 2)))
        for _ in range(random.randint(1, 2)):
            made = random_node(random, upstream, depth)
            while endless(made):
                made = random_node(random, upstream, depth)
            finals.append(replace(made, finally_of=owner))
            upstream = [root + len(finals)]
    return finals
