"""What takes minutes: a workflow of 100,000 tasks, half of it before a crash; a root with 100,000 workflows; S3."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import ray

from benchmarks import work
from benchmarks.kinds import Figures, timed
from benchmarks.usage import watched
from rayflow import workflow
from rayflow.core.records import Fact, Kind, Record
from rayflow.storage.index import Index, IndexEntry
from rayflow.storage.journal import Journal
from rayflow.storage.root import open_store

_TIME = "d"  # how a task notes its time
_TIME_BYTES = struct.calcsize(_TIME)
_GROUP = 500


@ray.remote
def ticking(path: str, number: int) -> int:
    """A task that says when it has run."""
    with Path(path).open("ab", buffering=0) as file:
        file.write(struct.pack(_TIME, time.time()))
    return number


def submission(size: int, workflow_id: str) -> Figures:
    """Seconds until a graph of ``size`` tasks is accepted, and until it is cancelled again."""
    graph = work.fan_out(size)
    took = timed(lambda: workflow.run_async(graph, workflow_id=workflow_id))
    workflow.cancel(workflow_id)
    return {"submit_100k_s": took}


def crash(size: int, workflow_id: str, root: Path) -> Figures:
    """The engine is killed when half of ``size`` tasks are done: how long until the next one runs.

    ``engine_rss_mb_100k`` is how much the memory of an engine has grown meanwhile, at most.
    """
    with tempfile.NamedTemporaryFile(prefix="rf-ticks-") as ticks, watched() as usage:
        before = usage.mebibytes["engine"]
        graph = work.gather.bind(*[ticking.bind(ticks.name, n) for n in range(size)])
        promise = workflow.run_async(graph, workflow_id=workflow_id)
        while Path(ticks.name).stat().st_size < size // 2 * _TIME_BYTES:
            time.sleep(0.05)
        owner = json.loads((root / "index" / "owner.json").read_text("utf-8"))
        killed = time.time()
        os.kill(int(owner["cluster"].rpartition(":")[2]), signal.SIGKILL)
        assert ray.get(promise) == size
        times = sorted(when for (when,) in struct.iter_unpack(_TIME, Path(ticks.name).read_bytes()))
    after = [when for when in times if when > killed - 1.0]
    pause = max(later - before for before, later in pairwise(after))
    return {"resume_100k_s": pause, "engine_rss_mb_100k": usage.mebibytes["engine"] - before}


def fill(root: Path, number: int, tasks: int = 1) -> None:
    """``number`` workflows of so many ``tasks`` that have ended, as an engine leaves them."""
    store = open_store(str(root))
    store.own()
    index = Index(store)
    index.take_over(None)
    for start in range(0, number, _GROUP):
        names = [f"old-{n}" for n in range(start, min(number, start + _GROUP))]
        with store.together() as group:
            for name in names:
                Journal(store, name).create().put(_ended(name, tasks), group)
            entries = [IndexEntry(name, "SUCCESSFUL", 1.0, 2.0) for name in names]
            settle = index.put(entries, group)
        settle()
    os.sync()  # whoever has left them has done so long ago


def _ended(name: str, tasks: int) -> list[Record]:
    options: dict[str, Any] = {"max_retries": 3, "ray": {}}
    names = [f"t{n}" for n in range(tasks)]
    accepted = {"workflow_id": name, "root": names[-1], "task_count": tasks}
    facts = [Fact(Kind.ACCEPTED, data=accepted)]
    facts += [
        Fact(Kind.TASK, t, data={"name": "t", "upstream": [], "options": options}) for t in names
    ]
    facts.append(Fact(Kind.STATUS, data={"status": "RUNNING"}))
    ended = {"preview": {"type": "int", "json": 1}, "started_at": 1.0, "finished_at": 2.0}
    for task in names:
        facts.append(Fact(Kind.STARTED, task, 1))
        facts.append(Fact(Kind.SUCCEEDED, task, 1, ended, b"\x80\x04K\x01."))
    facts.append(Fact(Kind.STATUS, data={"status": "SUCCESSFUL"}))
    return [fact.at(seq, 1.0) for seq, fact in enumerate(facts, start=1)]


@contextmanager
def s3() -> Iterator[Callable[[str], str]]:
    """An S3 server of our own, in a process of its own; gives addresses of roots in it."""
    from tests.crash.clusters import free_port

    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-p", str(port), "-H", "127.0.0.1"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield lambda bucket: _bucket(port, bucket)
    finally:
        server.terminate()
        server.wait()


def _bucket(port: int, name: str) -> str:
    from pyarrow import fs

    keys = {"access_key": "bench", "secret_key": "bench", "allow_bucket_creation": True}
    there = fs.S3FileSystem(endpoint_override=f"127.0.0.1:{port}", scheme="http", **keys)
    deadline = time.monotonic() + 30
    while True:
        try:
            there.create_dir(name)
            break
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
    options = f"scheme=http&endpoint_override=127.0.0.1:{port}"
    return f"s3://bench:bench@{name}/root?{options}"
