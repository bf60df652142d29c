"""A driver that submits one workflow; ``test_lines.py`` reads what it writes."""

from __future__ import annotations

import sys

import ray

from rayflow import workflow


@ray.remote
def shout(word: str) -> str:
    print(f"printed by {word}")
    return word


@ray.remote(max_retries=0)
def stumble(word: str) -> str:
    raise ValueError(f"no {word}")


@ray.remote
def parent(word: str) -> str:
    return str(workflow.run(shout.bind(f"child of {word}"), workflow_id=f"{word}-child"))


def main(address: str, root: str, name: str) -> None:
    ray.init(address, namespace="rayflow", log_to_driver=True)
    workflow.init(root)
    workflow.run(shout.options(**workflow.options(task_id="shout")).bind(name), workflow_id=name)
    workflow.run(parent.bind(name), workflow_id=f"{name}-parent")
    failing = stumble.options(**workflow.options(task_id="stumble")).bind(name)
    try:
        workflow.run(failing, workflow_id=f"{name}-failing")
    except workflow.WorkflowExecutionError:
        print("failed as planned", flush=True)
    sys.stdin.readline()  # what tasks print arrives a moment later than their results
    print("at the end", flush=True)
    workflow.run(
        shout.options(**workflow.options(task_id="last")).bind(name), workflow_id=f"{name}-last"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
