"""The defects of the old library (``ray-workflows`` 4.4 and 4.5) that no other test shows absent.

``DEFECTS`` says for every one of them which tests do.
"""

from __future__ import annotations

import ast
import os
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from rayflow import api, workflow
from rayflow.core.records import Kind
from rayflow.reader import open_root
from rayflow.runtime.prints import printing_for
from rayflow.runtime.references import Input, ValueReader
from rayflow.storage.local import LocalStore
from rayflow.storage.values import encode
from tests.crash.ledger import executions, note
from tests.crash.test_kills import engine_pid
from tests.defects import DEFECTS
from tests.engine.recorded_storage import EVENT_LOOP, Operation, meeting_of, operations
from tests.engine.test_management import wait_for
from tests.waiting import until

TESTS = Path(__file__).parents[1]
PROGRAM = "tests.engine.recorded_storage.store"


def test_every_defect_names_tests_that_exist() -> None:
    assert [*DEFECTS] == [f"C{n}" for n in range(1, 27)] + [f"P{n}" for n in range(1, 20)]
    for defect, named in DEFECTS.items():
        assert named, f"no test shows that {defect} is gone"
        for test in named:
            path, _, name = test.partition("::")
            tree = ast.parse((TESTS / path).read_text())
            kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
            found = {node.name for node in ast.walk(tree) if isinstance(node, kinds)}
            assert name in found, f"{defect}: {test} does not exist"


@ray.remote
def one() -> int:
    return 1


def test_c1_a_checkpoint_is_recorded_when_what_its_references_hold_is_stored(engine: str) -> None:
    @ray.remote
    def broken() -> None:
        raise RuntimeError("no contents")

    @ray.remote
    def refer(ok: bool) -> Any:
        return [ray.put(b"x" * 200_000) if ok else broken.remote()]

    name = workflow.options(task_id="refer")
    workflow.run(refer.options(**name).bind(True), workflow_id="refers")
    (stored,) = [f for f in Path(engine).glob("workflows/*/refers/values/*/*") if f.is_file()]
    assert stored.stat().st_size > 200_000
    with pytest.raises(workflow.WorkflowExecutionError, match="no contents"):
        workflow.run(refer.options(**name).bind(False), workflow_id="refers-badly")
    records = open_root(engine).records("refers-badly", None).records
    assert Kind.SUCCEEDED not in {record.kind for record in records}


def test_c8_inputs_have_the_same_types_after_a_recovery(
    own_engine: Callable[..., str], tmp_path: Path
) -> None:
    root, flag, started = own_engine(), tmp_path / "flag", tmp_path / "started"

    @ray.remote
    def refer() -> Any:
        return ray.put(2)

    @ray.remote
    def types(nested: list[Any], direct: Any, waited: str) -> list[str]:
        return [type(nested[0]).__name__, type(ray.get(nested[0])).__name__, type(direct).__name__]

    reference = refer.bind()
    dag = types.bind([one.bind()], reference, wait_for.bind(str(flag), str(started)))
    workflow.run_async(dag, workflow_id="types")
    until(started.exists)
    os.kill(engine_pid(root), signal.SIGKILL)
    flag.touch()
    assert workflow.get_output("types") == ["ObjectRef", "int", "ObjectRef"]


def test_c12_two_failures_below_one_catcher_are_one_caught_error(engine: str) -> None:
    @ray.remote
    def fail() -> int:
        raise ValueError("below")

    @ray.remote
    def join(*values: int) -> int:
        return sum(values)

    @ray.remote
    def parent() -> Any:
        return workflow.continuation(join.bind(*[fail.bind() for _ in range(4)]))

    caught = parent.options(**workflow.options(catch_exceptions=True)).bind()
    value, error = workflow.run(caught, workflow_id="two-failures")
    assert (value, type(error)) == (None, ValueError)
    assert workflow.run(one.bind()) == 1


def test_c14_a_list_made_while_workflows_start_never_shows_them_as_interrupted(
    own_engine: Callable[..., str],
) -> None:
    own_engine()
    for number in range(40):
        workflow.run_async(one.bind(), workflow_id=f"starts-{number}")
        assert not workflow.list_all(workflow.RESUMABLE)
    assert workflow.resume_all() == []
    assert [workflow.get_output(f"starts-{n}") for n in range(40)] == [1] * 40


def test_c17_a_reference_is_stored_again_for_a_workflow_that_was_deleted(engine: str) -> None:
    @ray.remote
    def length(values: list[Any]) -> int:
        return len(ray.get(values[0]))

    ref = ray.put(b"x" * 200_000)
    for _ in range(2):
        assert workflow.run(length.bind([ref]), workflow_id="referred") == 200_000
        assert list(Path(engine).glob("workflows/*/referred/values/*/*"))
        workflow.delete("referred")
        assert not list(Path(engine).glob("workflows/*/referred"))


def test_c22_a_delete_that_a_crash_interrupted_can_be_repeated(engine: str) -> None:
    workflow.run(one.bind(), workflow_id="half-deleted")
    (folder,) = Path(engine).glob("workflows/*/half-deleted")
    shutil.rmtree(folder)  # what a delete does first; then the engine died
    workflow.delete("half-deleted")
    assert "half-deleted" not in dict(workflow.list_all())
    assert workflow.run(one.bind(), workflow_id="half-deleted") == 1


def test_c26_an_input_that_was_lost_with_its_process_is_read_from_its_checkpoint(
    engine: str, tmp_path: Path
) -> None:
    @ray.remote(max_retries=0)
    def own() -> tuple[Any, int]:
        return ray.put(b"x" * 200_000), os.getpid()

    ref, pid = ray.get(own.remote())
    os.kill(pid, signal.SIGKILL)

    def is_lost() -> bool:
        try:
            ray.get(ref, timeout=0.1)
        except ray.exceptions.ObjectLostError:
            return True
        except ray.exceptions.GetTimeoutError:
            pass
        return False

    until(is_lost)
    store = LocalStore(str(tmp_path))
    stored = encode(b"x" * 200_000).store(store, lambda: "values/kept")
    assert ValueReader(store, [Input(stored, ref)]).input(0) == b"x" * 200_000


@pytest.fixture
def recorded(cluster: None, tmp_path: Path) -> Iterator[Path]:
    """An engine on a storage that writes down what is done to it."""
    root = tmp_path / "recorded"
    storage = f"custom://{PROGRAM}{root}"
    api.disconnect()
    workflow.init(storage)
    yield root
    engine = api._connector.connect().at("any").actor
    api.disconnect()
    ray.kill(engine, no_restart=True)


def by_engine(root: Path, since: int = 0) -> list[Operation]:
    """What the engine did after the first ``since`` operations of all processes."""
    found = operations(root)
    committer = next(o.pid for o in found if o.name == "append" and o.key.startswith("index/"))
    return [operation for operation in found[since:] if operation.pid == committer]


def test_p1_the_engine_never_touches_the_storage_on_its_event_loop(recorded: Path) -> None:
    workflow.run(one.bind(), workflow_id="w")
    workflow.get_metadata("w")
    workflow.delete("w")
    threads = {operation.thread for operation in by_engine(recorded)}
    assert EVENT_LOOP not in threads
    assert any(thread.startswith("rayflow-io") for thread in threads)


def test_p2_two_thousand_waiting_questions_block_nobody(engine: str, tmp_path: Path) -> None:
    flag, started = tmp_path / "flag", tmp_path / "started"
    workflow.run_async(wait_for.bind(str(flag), str(started)), workflow_id="asked-for")
    until(started.exists)
    refs = [workflow.get_output_async("asked-for") for _ in range(2000)]
    assert workflow.get_status("asked-for") == workflow.RUNNING
    assert workflow.run(one.bind()) == 1
    flag.touch()
    assert ray.get(refs) == ["went on"] * 2000


def test_p7_a_workflow_of_one_task_is_a_handful_of_writes(recorded: Path) -> None:
    workflow.run(one.bind(), workflow_id="first")
    before = len(operations(recorded))
    workflow.run(one.bind(), workflow_id="second")
    done = Counter(o.name for o in by_engine(recorded, before))
    # journal: claim, accepted, perhaps started, outcome, end; index: accepted, end
    assert done["append"] <= 7
    assert done["write"] == done["delete"] == done["read"] == 0
    assert done["size"] + done["list"] <= done["append"] + 1  # has somebody claimed a later epoch?


def test_p8_lists_and_statuses_need_no_storage(recorded: Path) -> None:
    for number in range(5):
        workflow.run(one.bind(), workflow_id=f"listed-{number}")
    before = len(operations(recorded))
    assert len(workflow.list_all()) == 5
    assert workflow.list_all(workflow.RESUMABLE) == workflow.resume_all() == []
    assert workflow.get_status("listed-1") == workflow.SUCCESSFUL
    assert by_engine(recorded, before) == []


def test_p9_metadata_of_any_workflow_is_one_read_of_its_journal(recorded: Path) -> None:
    @ray.remote
    def join(*values: int) -> int:
        return sum(values)

    workflow.run(join.bind(*[one.bind() for _ in range(30)]), workflow_id="wide")
    before = len(operations(recorded))
    workflow.get_metadata("wide")
    counts = Counter(operation.name for operation in by_engine(recorded, before))
    assert counts["list"] <= 1
    assert counts["read"] <= 2
    assert sum(counts.values()) <= 3


def test_p14_code_is_stored_once_however_many_tasks_and_workflows_use_it(recorded: Path) -> None:
    @ray.remote
    def join(*values: int) -> int:
        return sum(values)

    for name in ("once", "twice"):
        workflow.run(join.bind(*[one.bind() for _ in range(50)]), workflow_id=name)
    writes = Counter(
        o.key for o in operations(recorded) if o.name == "write" and o.key.startswith("functions/")
    )
    assert sorted(writes.values()) == [1, 1]


@ray.remote(max_calls=1)
def log_files_opened(tasks: int) -> list[str]:
    """The log files that a worker opens while it runs tasks of a program that is not its own."""
    opened: list[str] = []

    def note(event: str, args: tuple[Any, ...]) -> None:
        if event == "open" and "/logs/worker-" in str(args[0]):
            opened.append(str(args[0]))

    sys.addaudithook(note)
    for number in range(tasks):
        with printing_for("0f000000:listener", f"task {number}"):
            print("a line")
    return opened


def test_p18_log_files_are_opened_once_for_a_program_however_many_tasks_it_has(engine: str) -> None:
    opened: list[str] = ray.get(log_files_opened.remote(20))
    assert sorted(Path(file).suffix for file in opened) == [".err", ".out"]
    lines = [Path(file).read_text() for file in sorted(opened)]
    assert [text.count("a line") for text in lines] == [0, 20]


def test_p19_workflows_are_resumed_beside_each_other(recorded: Path, tmp_path: Path) -> None:
    ledger, cure = tmp_path / "ledger", tmp_path / "cure"

    @ray.remote
    def fragile(name: str) -> str:
        note(str(ledger), name)
        if not cure.exists():
            raise RuntimeError("not yet")
        return name

    names = [f"ill-{n}" for n in range(4)]
    for ref in [workflow.run_async(fragile.bind(name), workflow_id=name) for name in names]:
        with pytest.raises(workflow.WorkflowExecutionError):
            ray.get(ref)
    cure.touch()
    meeting_of(recorded).mkdir()
    resumed = workflow.resume_all(include_failed=True)
    assert [name for name, _ in resumed] == names
    assert ray.get([ref for _, ref in resumed]) == names
    assert executions(ledger) == dict.fromkeys(names, 2)
