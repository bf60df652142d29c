"""The engine on every kind of storage, and storages that it refuses."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
import ray
from moto.server import ThreadedMotoServer
from pyarrow import fs

from rayflow import api, workflow
from rayflow.runtime import peers
from rayflow.storage.address import parse
from rayflow.storage.index import Index
from rayflow.storage.root import open_store
from tests.cluster import CHECKOUT
from tests.crash.ledger import executions, note
from tests.waiting import until

SECRET = "a-very-secret-key"
PROGRAM = "tests.engine.storage_program"
StorageError = workflow.exceptions.StorageError


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The address of a real S3 protocol server with one bucket, ``rayflow``."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it prints every request otherwise
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    endpoint = f"127.0.0.1:{server.get_host_and_port()[1]}"
    s3_object(endpoint).create_dir("rayflow")
    yield endpoint
    server.stop()


def s3_uri(endpoint: str, path: str, credentials: str = f"key:{SECRET}@") -> str:
    query = f"endpoint_override={endpoint}&scheme=http&region=us-east-1&allow_bucket_creation=true"
    return f"s3://{credentials}{path}?{query}"


def s3_object(endpoint: str) -> fs.S3FileSystem:
    return fs.S3FileSystem(
        access_key="key",
        secret_key=SECRET,
        endpoint_override=endpoint,
        scheme="http",
        region="us-east-1",
        allow_bucket_creation=True,
    )


def s3_factory(path: str) -> tuple[fs.FileSystem, str]:
    """For ``custom://``: the path is an endpoint, then a bucket and a prefix."""
    endpoint, _, base = path.lstrip("/").partition("/")
    return s3_object(endpoint), base


@pytest.fixture
def started(cluster: None) -> Iterator[Callable[[Any], None]]:
    """Start an engine on a storage; it is gone after the test."""
    storages: list[Any] = []

    def start(storage: Any) -> None:
        api.disconnect()
        workflow.init(storage)
        storages.append(storage)

    yield start
    api.disconnect()
    for storage in storages:
        ray.kill(ray.get_actor(engine_name(storage), namespace="rayflow"), no_restart=True)


def engine_name(storage: Any) -> str:
    return peers.engine_name(parse(storage))


@ray.remote
def first(ledger: str) -> bytes:
    note(ledger, "first")
    return b"x" * 200_000  # too large for a record: a value of its own


@ray.remote
def second(ledger: str, gate: str, value: bytes) -> int:
    note(ledger, "second")
    until(Path(gate).exists)
    return len(value)


@ray.remote
def fragile(gate: str) -> str:
    if not Path(gate).exists():
        raise RuntimeError("not yet")
    return "well"


def live_through_everything(storage: Any, folder: Path) -> None:
    """Run, kill the engine, carry on, fail, resume, list, delete."""
    ledger, gate = folder / "ledger", folder / "gate"
    ref = workflow.run_async(
        second.bind(str(ledger), str(gate), first.bind(str(ledger))), workflow_id="survivor"
    )
    until(lambda: ledger.exists() and "second" in executions(ledger))
    owner = Index(open_store(storage)).owner()
    assert owner is not None
    os.kill(int(owner.cluster.rpartition(":")[2]), signal.SIGKILL)
    gate.touch()
    assert workflow.get_output("survivor") == 200_000
    assert executions(ledger)["first"] == 1
    del ref

    with pytest.raises(workflow.exceptions.WorkflowExecutionError):
        workflow.run(fragile.bind(str(folder / "cure")), workflow_id="a/odd id")
    (folder / "cure").touch()
    assert workflow.resume("a/odd id") == "well"
    assert dict(workflow.list_all()) == {"survivor": "SUCCESSFUL", "a/odd id": "SUCCESSFUL"}

    workflow.delete("survivor")
    assert [workflow_id for workflow_id, _ in workflow.list_all()] == ["a/odd id"]
    api.disconnect()
    workflow.init(storage)
    assert workflow.get_output("a/odd id") == "well"


def test_the_engine_works_on_s3_with_credentials_in_the_uri(
    s3: str, started: Callable[[Any], None], tmp_path: Path
) -> None:
    uri = s3_uri(s3, "rayflow/from-uri")
    started(uri)
    live_through_everything(uri, tmp_path)
    # The same root with other credentials is the same root; another one is refused by its name.
    workflow.init(s3_uri(s3, "rayflow/from-uri/", credentials="other:secret@"))
    with pytest.raises(ValueError, match="rayflow/other") as caught:
        workflow.init(s3_uri(s3, "rayflow/other"))
    assert SECRET not in str(caught.value)
    actor = ray.get_actor(engine_name(uri), namespace="rayflow")
    assert SECRET not in str(ray.get(actor.start.remote()))


def test_the_engine_works_on_a_file_system_object(
    s3: str, started: Callable[[Any], None], tmp_path: Path
) -> None:
    storage = (s3_object(s3), "rayflow/from-object")
    started(storage)
    live_through_everything(storage, tmp_path)


def test_the_engine_works_on_what_a_custom_factory_makes(
    s3: str, started: Callable[[Any], None], tmp_path: Path
) -> None:
    storage = f"custom://{__name__}.s3_factory/{s3}/rayflow/from-factory"
    started(storage)
    live_through_everything(storage, tmp_path)


def program(*arguments: str, **environment: str) -> dict[str, Any]:
    """What :mod:`tests.engine.storage_program` answers, in an environment without our Ray."""
    ours = {k: v for k, v in os.environ.items() if k not in ("RAY_ADDRESS", "RAYFLOW_STORAGE")}
    done = subprocess.run(
        [sys.executable, "-m", PROGRAM, *arguments],
        env={**ours, "PYTHONPATH": CHECKOUT, **environment},
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def test_credentials_may_come_from_the_environment(s3: str) -> None:
    answer = program(
        s3_uri(s3, "rayflow/from-environment", credentials=""),
        AWS_ACCESS_KEY_ID="key",
        AWS_SECRET_ACCESS_KEY=SECRET,
        AWS_EC2_METADATA_DISABLED="true",
    )
    assert answer == {"result": 42}


def test_a_path_that_both_nodes_see_is_accepted(tmp_path: Path) -> None:
    assert program(f"custom://{PROGRAM}.store_of_node{tmp_path}", "head") == {"result": 42}


def test_a_path_that_a_node_does_not_share_is_refused_and_the_node_named(tmp_path: Path) -> None:
    answer = program(f"custom://{PROGRAM}.store_of_node{tmp_path}", "elsewhere")
    assert answer["error"].startswith("StorageError: The storage custom://")
    assert "is not shared with node " in answer["error"]
    assert "Use a folder that is mounted on every node" in answer["error"]


def refusal(storage: Any) -> str:
    """The error of a storage that cannot be used, within the promised time."""
    api.disconnect()
    begun = time.monotonic()
    with pytest.raises(StorageError) as caught:
        workflow.init(storage)
    assert time.monotonic() - begun < 20
    with pytest.raises(ValueError, match="Failed to look up"):  # no engine is left behind
        ray.get_actor(engine_name(storage), namespace="rayflow")
    assert SECRET not in str(caught.value)
    return str(caught.value)


@pytest.mark.usefixtures("cluster")
def test_a_missing_bucket_is_refused_by_its_name(s3: str) -> None:
    assert "s3://missing/path" in refusal(s3_uri(s3, "missing/path"))


@pytest.mark.usefixtures("cluster")
def test_wrong_credentials_are_refused(s3: str) -> None:
    def demand_credentials(after: str) -> None:
        address, plain = f"http://{s3}/moto-api/reset-auth", {"Content-Type": "text/plain"}
        with urlopen(Request(address, after.encode(), plain, method="POST")) as answer:
            assert answer.status == 200

    demand_credentials("0")
    try:
        assert "s3://rayflow/wrong" in refusal(s3_uri(s3, "rayflow/wrong"))
    finally:
        demand_credentials("inf")


@pytest.mark.usefixtures("cluster")
def test_an_endpoint_that_nobody_serves_is_refused_in_time() -> None:
    assert "s3://rayflow/path" in refusal(s3_uri("127.0.0.1:1", "rayflow/path"))


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(
    ("storage", "error", "says"),
    [
        ("nonsense://bucket/path", StorageError, "nonsense://bucket/path"),
        ("hdfs://nowhere:1/path", StorageError, "hdfs://nowhere:1/path"),
        ("custom://nowhere.factory/path", StorageError, "nowhere.factory"),
        ("", ValueError, "empty"),
        (7, TypeError, "int"),
        (("s3", "path"), TypeError, "tuple"),
    ],
)
def test_what_is_no_storage_is_refused_with_a_sentence(
    storage: Any, error: type[Exception], says: str
) -> None:
    api.disconnect()
    with pytest.raises(error, match=says):
        workflow.init(storage)
