"""``rayflow verify``: what is missing or damaged is named, and the index can be made anew."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from rayflow import api, workflow
from rayflow.errors import JournalCorruptError
from rayflow.storage.index import Index
from rayflow.storage.root import open_store
from rayflow.verifying import main, rebuild_index, verify
from tests.engine.conftest import stop_engine
from tests.engine.test_damage import fail_once, one, only


@pytest.fixture(scope="module")
def made(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root without an engine, with two workflows, one of which has failed and has a large value."""
    folder = tmp_path_factory.mktemp("verified")
    path = folder / "root"
    api.disconnect()
    workflow.init(str(path))
    workflow.run(one.bind(), workflow_id="small")
    fail_once("failed", folder / "flag")
    api.disconnect()
    stop_engine(str(path))
    owner = path / "index" / "owner.json"
    owner.write_text(json.dumps({**json.loads(owner.read_text()), "time": 0.0}))  # long ago
    return path


@pytest.fixture
def root(made: Path, tmp_path: Path) -> str:
    """A copy of it."""
    return str(shutil.copytree(made, tmp_path / "root"))


def problems(root: str, *, deep: bool = False) -> list[tuple[str, str]]:
    found = verify(open_store(root), deep=deep)
    return sorted((finding.workflow_id, finding.problem) for finding in found)


def damage(file: Path) -> None:
    whole = bytearray(file.read_bytes())
    whole[len(whole) // 2] ^= 0xFF
    file.write_bytes(bytes(whole))


def test_a_whole_root_has_no_problem(root: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert problems(root, deep=True) == []
    assert main([root]) == 0
    assert json.loads(capsys.readouterr().out) == {"root": root, "problems": 0}


def test_what_is_damaged_or_missing_is_named(root: str, capsys: pytest.CaptureFixture[str]) -> None:
    value = only(Path(root).glob("workflows/*/failed/values/*/*"))
    damage(value)
    assert problems(root) == []
    assert problems(root, deep=True) == [("failed", "value")]
    value.write_bytes(b"short")
    assert problems(root) == [("failed", "value")]
    value.unlink()
    assert problems(root) == [("failed", "value")]
    damage(only(Path(root).glob("workflows/*/small/journal/*.arrows")))
    assert ("small", "journal") in problems(root)
    assert main([root]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[-1]["problems"] == 2


def test_a_damaged_redo_log_is_named(root: str) -> None:
    store = open_store(root)
    store.own()
    for key in ("a", "b", "c"):
        with store.together() as group:
            group.append(key, 0, bytes(1000))
    damage(only(Path(root, "redo").glob("*.arrows")))
    assert problems(root) == [("", "redo")]
    with pytest.raises(JournalCorruptError):
        open_store(root).own()


def test_code_that_is_gone_is_named(root: str) -> None:
    shutil.rmtree(Path(root, "functions"))
    assert {kind for _, kind in problems(root)} == {"code"}


def test_the_index_is_made_anew(root: str) -> None:
    before = sorted(workflow_ids(root))
    shutil.rmtree(Path(root, "index", "log"))
    assert rebuild_index(open_store(root)) == 2
    assert problems(root) == []
    assert sorted(workflow_ids(root)) == before
    api.disconnect()
    workflow.init(root)
    assert dict(workflow.list_all()) == {"small": workflow.SUCCESSFUL, "failed": workflow.FAILED}
    assert workflow.resume("failed") == 100_000
    api.disconnect()
    stop_engine(root)


def workflow_ids(root: str) -> list[str]:
    return [path.name for path in Path(root).glob("workflows/*/*")]


def test_what_the_index_does_not_know_is_named(root: str) -> None:
    folder = only(Path(root).glob("workflows/*/small"))
    aside = folder.rename(Path(root).parent / "aside")
    assert problems(root) == [("small", "journal")]
    aside.rename(folder)
    index = Index(open_store(root))
    index.rewrite([index.read()["failed"]])
    assert problems(root) == [("small", "not_indexed")]


def test_a_root_in_use_keeps_its_index(engine: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([engine, "--rebuild-index"]) == 2
    assert "An engine uses" in capsys.readouterr().err
    assert main(["nowhere://x"]) == 2
