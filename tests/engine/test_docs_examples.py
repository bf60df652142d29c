"""The Python in the documents runs, on the real engine, and gives what the pages say."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from rayflow import workflow
from rayflow.definitions import load

ROOT = Path(__file__).resolve().parents[2]


def _blocks(page: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def _execute(code: str, where: str) -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": f"docs_{where}"}
    exec(compile(code, where, "exec"), namespace)
    return namespace


def test_the_example_of_the_readme_prints_what_it_says(
    engine: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (block,) = _blocks("README.md")
    _execute(block, "readme")
    said = re.findall(r"print\(.*\)\s+# (\w+)", block)
    assert capsys.readouterr().out.split() == said == ["285", "SUCCESSFUL", "285"]


def test_the_quickstart_runs_from_the_file_to_the_result(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flows, run_it, failing = _blocks("docs/quickstart.md")
    (tmp_path / "flows.py").write_text(flows)
    assert list(load([str(tmp_path / "flows.py")])) == ["word_count"]

    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        _execute(run_it, "quickstart_run")
    finally:
        sys.modules.pop("flows", None)
    _execute(failing, "quickstart_failing")
    assert workflow.get_status("page-7") == workflow.SUCCESSFUL


def test_the_definition_of_the_reference_can_be_launched(engine: str) -> None:
    (block,) = [b for b in _blocks("docs/reference.md") if "@workflow.definition" in b]
    greeting = _execute(block, "reference")["greeting"]
    assert workflow.run(greeting.build({"name": "Ada", "language": "it"})) == "Ciao, Ada!"


def test_the_reader_of_the_journal_format_page_reads_a_journal(engine: str) -> None:
    (readme,) = _blocks("README.md")
    _execute(readme, "readme")
    (block,) = _blocks("docs/journal-format.md")
    (journal,) = Path(engine).glob("workflows/*/squares/journal/000001.arrows")
    records = _execute(block, "journal")["read_journal"](journal.parent)
    assert [record["seq"] for record in records] == list(range(1, len(records) + 1))
    assert {"accepted", "task", "status", "succeeded"} <= {record["kind"] for record in records}


def test_the_actors_of_their_page_do_what_it_says(engine: str) -> None:
    counter, *others = _blocks("docs/virtual-actors.md")
    assert len(others) == 4
    namespace = _execute(counter, "actors")
    for block in others:
        exec(compile(block, "actors", "exec"), namespace)
