"""The programs that use the clusters of a chaos run; each may be killed at any moment.

``python -m tests.chaos.driver ADDRESS submit ROOT ENGINES LEDGER PACE NUMBER...`` resumes what is RESUMABLE,
says "ready", then starts the workflows with these numbers, one every PACE seconds, and says each number when
it was accepted. ``... resume ROOT ENGINES`` only resumes, and ``... values ROOT ENGINES ID...`` prints values as
JSON.
"""

from __future__ import annotations

import json
import sys
import time

import ray

from rayflow import workflow
from tests.chaos.flows import build, name_of

PATIENCE_SECONDS = 90


def say(word: object) -> None:
    print(word, flush=True)


def submit(number: int, ledger: str) -> None:
    """Start a workflow, again and again if the engine is dying just now."""
    dag, _ = build(number, ledger)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            workflow.run_async(dag, workflow_id=name_of(number))
            return
        except workflow.exceptions.WorkflowRunningError:
            return  # an earlier try was accepted although its answer was lost
        except workflow.exceptions.EngineUnavailableError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def main(address: str, command: str, root: str, engines: str, *rest: str) -> None:
    ray.init(address=address, namespace="rayflow", log_to_driver=False)
    workflow.init(root, engines=int(engines))
    if command == "values":
        say(json.dumps({i: workflow.get_output(i) for i in rest}))
        return
    workflow.resume_all()
    say("ready")
    if command == "submit":
        ledger, pace, *numbers = rest
        for number in map(int, numbers):
            submit(number, ledger)
            say(number)
            time.sleep(float(pace))


if __name__ == "__main__":
    main(*sys.argv[1:])
