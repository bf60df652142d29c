"""A program whose very first call is the one it is asked for; ``test_anywhere.py`` runs it."""

from __future__ import annotations

import sys

import ray

from rayflow import workflow


@ray.remote
def six() -> int:
    return 6


def main(call: str) -> None:
    calls = {
        "run": lambda: workflow.run(six.bind(), workflow_id="first-run"),
        "run_async": lambda: ray.get(workflow.run_async(six.bind(), workflow_id="first-async")),
        "get_output": lambda: workflow.get_output("first-known"),
        "list_all": lambda: dict(workflow.list_all())["first-known"].value,
    }
    print("answer:", calls[call]())


if __name__ == "__main__":
    main(sys.argv[1])
