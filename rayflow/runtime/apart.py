"""Starts an engine from a process of its own.

An actor inherits the ``runtime_env`` of the program that makes it, and so would every task that the
engine submits, for every other program. So a program that has one lets this process, which has none,
make the engine: ``python -m rayflow.runtime.apart``, with what the engine needs as JSON on its input.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict

import ray

from rayflow.config import NAMESPACE, ChosenLimits

_SECONDS = 120.0
_OF_THE_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"  # how Ray gives a submitted job its environment


def start(storage: str, chosen: ChosenLimits, instance: str) -> bool:
    """Make the engine of ``storage``; False if that fails, as when only this program has RayFlow."""
    wanted = {
        "cluster": ray.get_runtime_context().gcs_address,
        "storage": storage,
        "chosen": asdict(chosen),
        "instance": instance,
    }
    with suppress(subprocess.TimeoutExpired):
        return _run(json.dumps(wanted)) == 0
    return False


def _run(wanted: str) -> int:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "rayflow.runtime.apart"],
        input=wanted,
        env={name: value for name, value in os.environ.items() if name != _OF_THE_JOB},
        text=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=_SECONDS,
        check=False,
    )
    return done.returncode


def main() -> None:
    """Make the engine that the input describes and wait until it is there."""
    from rayflow.runtime.cluster import make_engine

    wanted = json.load(sys.stdin)
    ray.init(wanted["cluster"], namespace=NAMESPACE, log_to_driver=False, configure_logging=False)
    engine = make_engine(wanted["storage"], ChosenLimits(**wanted["chosen"]), wanted["instance"])
    ray.get(engine.__ray_ready__.remote(), timeout=_SECONDS)


if __name__ == "__main__":
    main()
