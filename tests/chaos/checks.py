"""What must be true after a chaos run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from rayflow.core.records import Kind, Record, WorkflowStatus
from rayflow.core.state import fold
from rayflow.reader import open_root
from tests.chaos.flows import VOLATILE


@dataclass(frozen=True, slots=True)
class Line:
    """One begin of a task's body."""

    flow: str
    task: str
    time: float
    pid: int
    cluster: str


def read(ledger: Path) -> list[Line]:
    """The ledger: every begin of a body, by whomever."""
    lines = [line.split() for line in ledger.read_text().splitlines()]
    return [Line(w[0], w[1], float(w[2]), int(w[3]), w[4]) for w in lines]


@dataclass
class Verdict:
    """What a check found: problems, each naming its workflow, and some numbers."""

    problems: list[str] = field(default_factory=list)
    tasks: int = 0
    executions: int = 0
    by_overtaken: int = 0


def check(root: str, ledger: Path, accepted: set[str], overtaken: dict[str, float]) -> Verdict:
    """Look at every journal and at the ledger.

    ``overtaken``: clusters whose engine was stopped, and when another one took the root over. Bodies
    that the stopped engine had handed to Ray before may begin when it goes on; they change nothing.
    """
    verdict = Verdict()
    lines: dict[str, list[Line]] = {}
    for line in read(ledger):
        lines.setdefault(line.flow, []).append(line)
    reader = open_root(root)
    found = {entry.workflow_id: entry.status for entry in reader.entries()}
    verdict.problems += [f"{flow}: accepted and lost" for flow in sorted(accepted - set(found))]
    for flow, status in found.items():
        records = reader.records(flow, None, limit=10**9).records
        if status != WorkflowStatus.SUCCESSFUL or fold(records).status != status:
            verdict.problems.append(f"{flow}: {status} in the index, {fold(records).status} inside")
        _check_flow(verdict, flow, records, lines.get(flow, []), overtaken)
    return verdict


def _has_noting_body(task: Record) -> bool:
    """Whether it is a task of :mod:`tests.chaos.flows`, and not one that waits, or RayFlow's own, or a call."""
    name = task.data["name"]
    return (
        "call" not in task.data
        and not name.startswith("workflow.")
        and not name.endswith(".together")
    )


def _check_flow(
    verdict: Verdict,
    flow: str,
    records: list[Record],
    lines: list[Line],
    overtaken: dict[str, float],
) -> None:
    if [r.seq for r in records] != list(range(1, len(records) + 1)):
        verdict.problems.append(f"{flow}: its records are not numbered without gaps")
    outcomes = [r for r in records if r.kind in (Kind.SUCCEEDED, Kind.CONTINUED)]
    recorded = {r.task_id: r.time for r in outcomes if r.task_id != VOLATILE}
    counts = Counter(r.task_id for r in outcomes if r.task_id != VOLATILE)
    verdict.problems += [f"{flow}: {t} was recorded {n} times" for t, n in counts.items() if n > 1]
    verdict.tasks += sum(r.kind == Kind.TASK for r in records)
    verdict.executions += len(lines)
    begun = {line.task for line in lines}
    ours = {r.task_id for r in records if r.kind == Kind.TASK and _has_noting_body(r)}
    verdict.problems += [f"{flow}: {t} never ran" for t in ours & set(recorded) - begun]
    for line in lines:
        if line.time < recorded.get(line.task, line.time + 1):
            continue
        if line.time >= overtaken.get(line.cluster, line.time + 1):
            verdict.by_overtaken += 1
        else:
            verdict.problems.append(f"{flow}: {line.task} ran again after its checkpoint")
