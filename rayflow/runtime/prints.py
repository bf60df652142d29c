"""What a task prints, sent to the program that submitted the workflow.

Ray forwards a worker's log file to the driver whose job the file names in a line of its own. Workers belong to the
job that started the engine, so the output of a task of another job goes into files of their own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

import ray
from ray._private.worker import global_worker

_STANDARD = (1, 2)


@contextmanager
def printing_for(listener: str | None, task_id: str) -> Iterator[None]:
    """Send the standard streams of this process to the job of ``listener`` meanwhile."""
    job = (listener or "").partition(":")[0]
    files = _files(job) if job and job != _own_job() else None
    if files is None:
        yield
        return
    _flush()
    os.write(files[0], f":task_name:{task_id}\n".encode())  # Ray shows it before each line
    kept = [os.dup(stream) for stream in _STANDARD]
    for stream, file in zip(_STANDARD, files, strict=True):
        os.dup2(file, stream)
    try:
        yield
    finally:
        _flush()
        for stream, file in zip(_STANDARD, kept, strict=True):
            os.dup2(file, stream)
            os.close(file)


@lru_cache(maxsize=1)
def _own_job() -> str:
    return str(ray.get_runtime_context().get_job_id())


@lru_cache(maxsize=64)
def _files(job: str) -> tuple[int, int] | None:
    """Log files of this worker for ``job``; None where Ray does not write such files."""
    node = global_worker.node
    if node is None or any(s.fileno() not in _STANDARD for s in (sys.stdout, sys.stderr)):
        return None
    worker = ray.get_runtime_context().get_worker_id()
    base = Path(node.get_logs_dir_path()) / f"worker-{worker}-{job}-{os.getpid()}"
    try:
        out, err = (
            os.open(f"{base}{end}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            for end in (".out", ".err")
        )
        for file in (out, err):
            os.write(file, f":job_id:{job}\n".encode())  # by this Ray knows whose lines they are
    except OSError:
        return None
    return out, err


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
