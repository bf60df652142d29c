"""``python -m tests.crash.program ADDRESS COMMAND ROOT LEDGER``: a program that uses a cluster.

``start`` starts the workflow "moved" and says so, then says how it ended; ``resume`` says what status it
found, that it has resumed, and the value. Each is a line that begins with ``> ``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import ray

from rayflow import workflow
from tests.crash.test_kills import build

SAYS = "> "  # Ray prints, too


def say(word: object) -> None:
    print(f"{SAYS}{word}", flush=True)


def main(address: str, command: str, root: str, ledger: str) -> None:
    ray.init(address=address, namespace="rayflow", log_to_driver=False)
    workflow.init(root)
    if command == "start":
        dag = build(Path(ledger), chain=8, width=6, seconds=0.2)
        ref = workflow.run_async(dag, workflow_id="moved")
        say("started")
    else:
        say(workflow.get_status("moved"))
        ref = workflow.resume_async("moved")
        say("resumed")
    try:
        say(ray.get(ref))
    except workflow.exceptions.WorkflowError as error:
        cause = getattr(error, "cause", None) or error  # the text of Ray's type is a traceback
        say(f"{type(cause).__name__}: {cause}")
        try:
            workflow.get_status("moved")
        except workflow.exceptions.RootInUseError:
            say("RootInUseError")


if __name__ == "__main__":
    main(*sys.argv[1:])
