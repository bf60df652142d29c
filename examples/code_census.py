"""Take a census of a folder of Python files: what is in each package, and how big it is.

The idea: only the first task can know how many files there are, so it looks, and hands over to a
graph made for what it found: one task per batch of files, then one that adds everything up. A
file that cannot be parsed is a line in the result, not a failure.

    find_files ─ continuation ─> parse_batch (one per batch) ── add_up ── save ── summary
"""

# Ray's own types leave the result of .bind() open.
# mypy: disable-error-code="var-annotated"

from __future__ import annotations

import ast
import io
import sysconfig
import tokenize
import warnings
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.parquet as pq
import ray
from pydantic import Field
from ray.dag import DAGNode

from rayflow import workflow

#: Folders that hold other people's code or none at all.
SKIPPED = {"site-packages", "dist-packages", "__pycache__", "node_modules", ".git", ".venv"}
TEST_FOLDERS = {"test", "tests", "idle_test", "testing"}

FILE_SCHEMA = pa.schema(
    [
        ("package", pa.string()),
        ("path", pa.string()),
        ("lines", pa.int64()),
        ("functions", pa.int64()),
        ("classes", pa.int64()),
        ("max_nesting", pa.int64()),
        ("documentable", pa.int64()),
        ("documented", pa.int64()),
        ("problem", pa.string()),
    ]
)

NESTING = (
    ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.If | ast.For | ast.AsyncFor
    | ast.While | ast.With | ast.AsyncWith | ast.Try | ast.Match
)  # fmt: skip
NAMED = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@workflow.definition(tags={"example": "data"})
def code_census(
    root: Annotated[
        str, Field(description="Folder to look at. Empty: the running Python's own library.")
    ] = "",
    pattern: Annotated[
        str, Field(min_length=1, description="Which files, as a glob relative to the folder.")
    ] = "**/*.py",
    batch_size: Annotated[int, Field(ge=1, le=5000, description="Files per task.")] = 25,
    exclude_tests: Annotated[bool, Field(description="Leave out test folders and files.")] = True,
) -> DAGNode:
    """Count files, lines, functions and classes of every package in a folder of Python files,
    with nesting depth and the share of documented code, and save the table as Parquet.
    """
    folder = root or sysconfig.get_paths()["stdlib"]
    dag: DAGNode = find_files.bind(folder, pattern, batch_size, exclude_tests)
    return dag


@workflow.options(task_id="find_files")
@ray.remote
def find_files(root: str, pattern: str, batch_size: int, exclude_tests: bool) -> Any:
    """List the files, then hand over to one task per batch."""
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise NotADirectoryError(f"{root!r} is not a folder on the machine that runs this task.")
    found = sorted(path.relative_to(folder) for path in folder.glob(pattern) if path.is_file())
    names = [str(path) for path in found if is_wanted(path, exclude_tests)]
    if not names:
        raise FileNotFoundError(f"No file in {root!r} matches {pattern!r}.")
    starts = range(0, len(names), batch_size)
    batches = [parse_batch.bind(str(folder), names[at : at + batch_size]) for at in starts]
    packages = add_up.bind(batches)
    problems = list_problems.bind(batches)
    return workflow.continuation(summary.bind(root, packages, save.bind(packages), problems))


def is_wanted(path: Path, exclude_tests: bool) -> bool:
    if SKIPPED.intersection(path.parts):
        return False
    is_test = path.name.startswith("test_") or TEST_FOLDERS.intersection(path.parts[:-1])
    return not (exclude_tests and is_test)


@workflow.options(task_id="parse_batch")
@ray.remote
def parse_batch(root: str, names: list[str]) -> pa.Table:
    """Parse some files; one row per file."""
    rows = [census_of(Path(root), name) for name in names]
    return pa.Table.from_pylist(rows, schema=FILE_SCHEMA)


def census_of(root: Path, name: str) -> dict[str, Any]:
    parts = Path(name).parts
    row: dict[str, Any] = {"package": parts[0].removesuffix(".py"), "path": name}
    try:
        # tokenize.open decodes as Python does: by the file's own coding line, else UTF-8.
        with tokenize.open(root / name) as file:
            text = file.read()
        row["lines"] = len(text.splitlines())
        with warnings.catch_warnings():
            # Remarks about the code that is counted are of no interest here.
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    # What parsing a file can raise: no Python, no text, a null byte, too deep, not readable.
    except (SyntaxError, ValueError, RecursionError, MemoryError, OSError) as error:
        return {**row, "problem": f"{type(error).__name__}: {error}"}
    return {**row, **measure(tree)}


def measure(tree: ast.Module) -> dict[str, int]:
    """Count what is in one file. A loop, not recursion: generated code can be nested deeply."""
    counts: Counter[str] = Counter(documentable=1, documented=has_docstring(tree))
    deepest = 0
    waiting: list[tuple[ast.AST, int]] = [(tree, 0)]
    while waiting:
        node, depth = waiting.pop()
        depth += isinstance(node, NESTING)
        deepest = max(deepest, depth)
        if isinstance(node, NAMED):
            counts["classes" if isinstance(node, ast.ClassDef) else "functions"] += 1
            if not node.name.startswith("_"):
                counts["documentable"] += 1
                counts["documented"] += has_docstring(node)
        for child in ast.iter_child_nodes(node):
            waiting.append((child, depth - is_elif(node, child)))
    names = ("functions", "classes", "documentable", "documented")
    return {"max_nesting": deepest, **{name: counts[name] for name in names}}


def is_elif(node: ast.AST, child: ast.AST) -> bool:
    """An elif is an If inside an If to the parser, but not to a reader."""
    if isinstance(node, ast.If) and isinstance(child, ast.If):
        return node.col_offset == child.col_offset
    return False


def has_docstring(node: ast.Module | NAMED) -> int:
    return int(ast.get_docstring(node, clean=False) is not None)


@workflow.options(task_id="add_up")
@ray.remote
def add_up(batches: list[ray.ObjectRef[pa.Table]]) -> pa.Table:
    """One row per package, biggest first."""
    files = pa.concat_tables(ray.get(batches))
    sums = ["lines", "functions", "classes", "documentable", "documented"]
    table = files.group_by("package").aggregate(
        [("path", "count"), ("problem", "count"), ("max_nesting", "max")]
        + [(name, "sum") for name in sums]
    )
    table = table.rename_columns(["package", "files", "problems", "max_nesting", *sums])
    rows = [with_coverage(row) for row in table.to_pylist()]
    order = [("lines", "descending"), ("package", "ascending")]
    return pa.Table.from_pylist(rows).sort_by(order)


def with_coverage(row: dict[str, Any]) -> dict[str, Any]:
    """Replace the two counts of documented code by their ratio; nothing counted is 0."""
    counted = {key: value or 0 for key, value in row.items()}
    documentable, documented = counted.pop("documentable"), counted.pop("documented")
    share = documented / documentable if documentable else None
    return {**counted, "docstring_coverage": share}


@workflow.options(task_id="list_problems")
@ray.remote
def list_problems(batches: list[ray.ObjectRef[pa.Table]]) -> list[dict[str, str]]:
    """The files that could not be parsed, and why."""
    rows = pa.concat_tables(ray.get(batches)).select(["path", "problem"]).to_pylist()
    return [row for row in rows if row["problem"] is not None]


@workflow.options(task_id="save")
@ray.remote
def save(packages: pa.Table) -> str:
    """Write the table as Parquet into the workflow's storage and return its key there."""
    buffer = io.BytesIO()
    pq.write_table(packages, buffer)
    return workflow.artifact("census.parquet", buffer.getvalue())


@workflow.options(task_id="summary")
@ray.remote
def summary(
    root: str, packages: pa.Table, parquet: str, problems: list[dict[str, str]]
) -> dict[str, Any]:
    """The totals, the table and where its Parquet file is."""
    names = ("files", "lines", "functions", "classes", "problems")
    totals = {name: sum(packages[name].to_pylist()) for name in names}
    return {
        "root": root,
        "totals": {"packages": packages.num_rows, **totals},
        "parquet": parquet,
        "problems": problems,
        "packages": packages,
    }
