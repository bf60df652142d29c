"""The tasks of a workflow and what feeds what, read once per shape of the DAG and then kept."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from django.core.cache import cache

from workflows_app.models import Task, Workflow

READ_CHUNK = 5_000
KEEP_SECONDS = 3_600

Edge = tuple[str, str]


@dataclass(slots=True)
class Dag:
    """Tasks by number, in the order in which they came to be.

    Attributes:
        ids, names: of each task; ``names`` are numbers of ``titles``.
        sources, targets: the edges, by the numbers of their tasks: the target takes the source's value.
        callers, called: the same for tasks that were made by another one while it ran (a continuation, a
            sub-workflow) and take nothing from anybody.
    """

    ids: list[str] = field(default_factory=list)
    names: array[int] = field(default_factory=lambda: array("i"))
    titles: list[str] = field(default_factory=list)
    sources: array[int] = field(default_factory=lambda: array("i"))
    targets: array[int] = field(default_factory=lambda: array("i"))
    callers: array[int] = field(default_factory=lambda: array("i"))
    called: array[int] = field(default_factory=lambda: array("i"))

    def edges(self) -> Iterator[tuple[int, int]]:
        """All edges, those to called tasks included."""
        yield from zip(self.sources, self.targets, strict=True)
        yield from zip(self.callers, self.called, strict=True)

    def between_names(self, *, with_calls: bool) -> Counter[Edge]:
        """Edges between names with the number of edges between their tasks."""
        pairs = self.edges() if with_calls else zip(self.sources, self.targets, strict=True)
        counted = Counter((self.names[a], self.names[b]) for a, b in pairs)
        return Counter({(self.titles[a], self.titles[b]): n for (a, b), n in counted.items()})

    def around(self, task_id: str, *, steps: int, most: int) -> list[int]:
        """The tasks up to ``steps`` edges before and after a task, the nearest first.

        Args:
            most: how many at most, the task itself included.
        """
        near: dict[int, list[int]] = defaultdict(list)
        for a, b in self.edges():
            near[a].append(b)
            near[b].append(a)
        found = {self.ids.index(task_id): None}
        border = list(found)
        for _ in range(steps):
            border = [n for at in border for n in near[at] if n not in found]
            found |= dict.fromkeys(border)
            if len(found) >= most:
                break
        return list(found)[:most]


def read(workflow: Workflow) -> Dag:
    """The DAG as it is now. Edges come together with tasks, so it is kept until a task is added."""
    key = f"rayflow:dag:{workflow.mark}:{workflow.tasks_total}"
    kept: Dag | None = cache.get(key)
    if kept is None:
        cache.set(key, kept := _read(workflow), KEEP_SECONDS)
    return kept


def _read(workflow: Workflow) -> Dag:
    dag = Dag()
    number: dict[str, int] = {}
    title: dict[str, int] = {}
    late: list[tuple[array[int], array[int], str, int]] = []
    tasks = Task.objects.filter(workflow=workflow).order_by("id")
    rows = tasks.values_list("task_id", "name", "upstream", "parent_task_id")
    for at, (task_id, name, upstream, parent) in enumerate(rows.iterator(READ_CHUNK)):
        number[task_id] = at
        dag.ids.append(task_id)
        dag.names.append(title.setdefault(name, len(title)))
        from_, to = (dag.sources, dag.targets) if upstream else (dag.callers, dag.called)
        for source in dict.fromkeys(upstream or ([parent] if parent else [])):
            late.append((from_, to, source, at))
    for from_, to, source, at in late:
        if source in number:
            from_.append(number[source])
            to.append(at)
    dag.titles = list(title)
    return dag
