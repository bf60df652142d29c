"""Code that travels by value: what a process without the source tree makes of it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rayflow.errors import CodeUnavailableError, SerializationError
from rayflow.runtime import code
from rayflow.runtime.code import CodeStore
from rayflow.storage.local import LocalStore

TREE = {
    "trip/__init__.py": "from trip.errors import TripError\n",
    "trip/errors.py": "class TripError(Exception):\n    pass\n",
    "trip/prices.py": "BASE = 40\n\ndef price(days):\n    return BASE + days\n",
    "trip/tasks.py": """
import functools, threading
import trip.prices
from trip import prices as table, errors
from .prices import price

_lock = threading.Lock()

@functools.lru_cache
def cached(days):
    return price(days)

def by_name(days):
    return price(days)

def by_module(days):
    return table.price(days) + trip.prices.BASE

def inside(days):
    from . import prices
    import trip.prices as again
    from helpers_inside import extra
    return prices.price(days) + again.BASE + extra()

def locked(days):
    with _lock:
        return cached(days)

def fails(days):
    raise errors.TripError(days)

def catches(function):
    try:
        function(1)
    except errors.TripError as error:
        return f"caught {error}"
""",
    "helpers_inside.py": "def extra():\n    import helpers_inside\n    return 1000\n",
    "broken_global.py": "import sqlite3\ndb = sqlite3.connect(':memory:')\n\ndef use():\n    return db\n",
    "uses_broken.py": """
import broken_global
from broken_global import use

def direct():
    return use()

def by_module(_):
    try:
        broken_global.db
    except AttributeError as error:
        return error
""",
    "uses_deep.py": "import deep\n\ndef by_module(x):\n    return deep.f0(x)\n",
    "deep.py": "".join(f"def f{n}(x):\n    return f{n + 1}(x)\n" for n in range(700))
    + "def f700(x):\n    return x + 1\n",
}


def write(folder: Path) -> None:
    for name, text in TREE.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def python(program: str, *arguments: str, path: str = "") -> str:
    """What ``program`` prints in a process of its own that knows no other code than ``path``."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": f"{Path(__file__).parents[2]}:{path}", "PATH": ""},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


STORE = """
import importlib, sys
from rayflow.runtime.code import CodeStore
from rayflow.storage.local import LocalStore
root, module, *names = sys.argv[1:]
store = CodeStore(LocalStore(root))
for name in names:
    print(store.put(getattr(importlib.import_module(module), name)))
"""
CALL = """
import sys
from rayflow.runtime.code import load
from rayflow.storage.local import LocalStore
root, *digests = sys.argv[1:]
function, *arguments = [load(LocalStore(root), digest) for digest in digests]
print(function(*(arguments or [2])))
assert not {"trip", "trip.prices", "helpers_inside", "deep"} & set(sys.modules)
"""


def carried(tmp_path: Path, module: str, *names: str) -> str:
    """What the first function gives without its source tree, called with the others or with 2."""
    root, tree = str(tmp_path / "root"), tmp_path / "tree"
    write(tree)
    digests = python(STORE, root, module, *names, path=str(tree)).splitlines()
    return python(CALL, root, *digests)


@pytest.mark.parametrize(
    ("name", "result"),
    [("by_name", 42), ("by_module", 82), ("inside", 1082), ("locked", 42)],
)
def test_a_function_takes_along_the_modules_it_uses(tmp_path: Path, name: str, result: int) -> None:
    assert carried(tmp_path, "trip.tasks", name) == str(result)


def test_a_chain_of_hundreds_of_functions_travels(tmp_path: Path) -> None:
    assert carried(tmp_path, "deep", "f0") == "3"


def test_a_module_with_a_chain_of_hundreds_of_functions_travels_as_a_module(tmp_path: Path) -> None:
    assert carried(tmp_path, "uses_deep", "by_module") == "3"


def test_what_a_module_has_that_cannot_be_stored_is_left_behind(tmp_path: Path) -> None:
    assert "'db' of the module 'broken_global' did not travel" in carried(
        tmp_path, "uses_broken", "by_module"
    )


def test_an_exception_is_caught_by_its_type_in_functions_stored_apart(tmp_path: Path) -> None:
    assert carried(tmp_path, "trip.tasks", "catches", "fails") == "caught 1"


def test_a_helper_that_cannot_be_stored_is_named_and_its_user_still_travels(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    import uses_broken  # type: ignore[import-not-found]

    store = LocalStore(str(tmp_path / "root"))
    digest = CodeStore(store).put(uses_broken.direct)
    assert "every node must have them" in caplog.text
    monkeypatch.delitem(sys.modules, "broken_global")
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p != str(tmp_path)])
    code._loaded.clear()
    with pytest.raises(CodeUnavailableError, match="module 'broken_global'"):
        code.load(store, digest)


def test_the_same_function_has_one_digest_in_a_process() -> None:
    assert code.dump(write) == code.dump(write)


def test_a_lock_in_a_closure_is_refused_with_advice() -> None:
    import threading

    lock = threading.Lock()

    def body() -> bool:
        return lock.locked()

    with pytest.raises(SerializationError, match="create it inside the task"):
        code.dump(body)


def test_a_program_gets_its_own_class_back_from_the_same_source(tmp_path: Path) -> None:
    root, tree = str(tmp_path / "root"), tmp_path / "tree"
    write(tree)
    digest = python(STORE, root, "trip.errors", "TripError", path=str(tree))
    program = (
        "import sys, trip\nfrom rayflow.runtime.code import load\n"
        "from rayflow.storage.local import LocalStore\n"
        "print(load(LocalStore(sys.argv[1]), sys.argv[2]) is trip.TripError)"
    )
    assert python(program, root, digest, path=str(tree)) == "True"
    (tree / "trip/errors.py").write_text(TREE["trip/errors.py"] + "# changed\n")
    assert python(program, root, digest, path=str(tree)) == "False"


KEEP = """
import sys, pickle
import kinds
from rayflow.runtime.code import CodeStore
from rayflow.runtime.references import ValueWriter
from rayflow.storage.local import LocalStore
store = LocalStore(sys.argv[1])
code = CodeStore(store)
writer = ValueWriter(store, "w", code)
stored = [writer.keep(writer.result(value, "t"), "t") for value in kinds.values()]
print(pickle.dumps((code.put(kinds.check), stored)).hex())
"""
CHECK = """
import sys, pickle
from rayflow.runtime.code import load
from rayflow.runtime.references import ValueReader
from rayflow.storage.local import LocalStore
store = LocalStore(sys.argv[1])
check, stored = pickle.loads(bytes.fromhex(sys.argv[2]))
print(load(store, check)([ValueReader(store).read(value) for value in stored]))
assert "kinds" not in sys.modules
"""


def test_classes_of_every_kind_and_their_values_travel(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    shutil.copy(Path(__file__).with_name("kinds_of_code.py"), tree / "kinds.py")
    kept = python(KEEP, str(tmp_path / "root"), path=str(tree))
    assert python(CHECK, str(tmp_path / "root"), kept) == "all well, code 5"
