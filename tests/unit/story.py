"""Workflows told record by record, for tests of the pure core."""

from __future__ import annotations

from typing import Any

from rayflow.core import planner
from rayflow.core.graph import Graph, Node, StoredValue, TaskOptions, task_facts
from rayflow.core.outcomes import Outcome, facts_of
from rayflow.core.planner import StartTask, plan
from rayflow.core.records import Fact, Kind, Record, WorkflowStatus
from rayflow.core.state import WorkflowState

VALUE = StoredValue("json", 1, 0, b"1")
ERROR = {"type": "ValueError", "message": "no", "traceback": None}
CAUGHT = StoredValue("pickle", 1, 0, b"x")


def node(name: str, *upstream: int, **options: Any) -> Node:
    return Node(name, "f" * 64, VALUE, upstream, TaskOptions(**options))


class Story:
    """A workflow told record by record."""

    def __init__(self, *nodes: Node) -> None:
        finals = sum(node.finally_of is not None for node in nodes)
        facts, root = task_facts(Graph(nodes, finals), {}, {})
        self.records: list[Record] = []
        self.now = 0.0
        self.state = WorkflowState()
        self.tell(Fact(Kind.ACCEPTED, data={"workflow_id": "w", "root": root}), *facts)
        self.status(WorkflowStatus.RUNNING)

    def tell(self, *facts: Fact) -> None:
        for fact in facts:
            record = fact.at(len(self.records) + 1, 0.0)
            self.records.append(record)
            self.state.apply(record)

    def status(self, status: WorkflowStatus, error: dict[str, Any] | None = None) -> None:
        self.tell(Fact(Kind.STATUS, data={"status": str(status), "error": error}))

    def start(self, window: int = 100) -> list[str]:
        """Start what the plan says."""
        chosen = [c for c in plan(self.state, self.now, window=window) if isinstance(c, StartTask)]
        for command in chosen:
            self.state.dispatch(command.task_id, command.attempt)
        return [command.task_id for command in chosen]

    def end(self, task_id: str, outcome: Outcome | None = None) -> list[Fact]:
        attempt = self.state.in_flight.get(task_id, 1)
        facts = facts_of(
            self.state, task_id, attempt, outcome or Outcome("value", value=VALUE), self.now
        )
        self.tell(*facts)
        return facts

    def fail(self, task_id: str, kind: Any = "error") -> list[Fact]:
        return self.end(task_id, Outcome(kind, value=CAUGHT, error=ERROR))

    def plan(self) -> list[planner.Command]:
        return plan(self.state, self.now, window=100)

    def statuses(self) -> dict[str, str]:
        return {task_id: str(task.status) for task_id, task in self.state.tasks.items()}
