"""Values larger than a 32-bit length, and the memory that they take on their way."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

MIB = 2**20
HUGE = 2100 * MIB
_COMMON = """
import json, resource, sys
import numpy as np
import pyarrow as pa
from rayflow.storage.local import LocalStore
from rayflow.storage.values import decode, encode, load_bytes
root, size = sys.argv[1], int(sys.argv[2])

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

def anonymous():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(l.split()[1]) * 1024 for l in lines if l.startswith("RssAnon"))
"""
_MAKE = {
    "numpy": "value = np.ones(size, 'u1')",
    "arrow": "value = pa.table({'a': np.ones(size // 8)})",
    "pandas": "import pandas as pd; value = pd.DataFrame({n: np.ones(size // 32) for n in 'abcd'})",
    "polars": "import polars as pl; value = pl.DataFrame({n: np.ones(size // 32) for n in 'abcd'})",
    "nested": "value = {'a': [np.ones(size // 2, 'u1')], 'b': pa.table({'c': np.ones(size // 16)})}",
    "array of pandas": "import pandas as pd; value = pd.DataFrame(np.ones((size // 32, 4)))",
}
_WRITE = """
used = anonymous()
before = peak()
kept = encode(value).store(LocalStore(root), lambda: "values/key")
print(json.dumps({"used": used, "extra": peak() - before, "size": kept.size, "record": kept.describe()}))
"""
_READ = """
from rayflow.core.graph import StoredValue
record = StoredValue.from_record(json.loads(sys.argv[3]), None)
store = LocalStore(root)
before = anonymous()
found = decode(record.format, load_bytes(store, record))
extra = anonymous() - before
array = found if isinstance(found, np.ndarray) else found.column(0).to_numpy()
assert array[0] == array[-1] == 1 and array.nbytes >= size - 64
print(json.dumps({"extra": extra}))
"""


def run(code: str, *args: object) -> dict[str, int]:
    """What a Python of its own prints: only there is the peak that of the value."""
    command = [sys.executable, "-c", _COMMON + code, *map(str, args)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, int] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("kind", ["pandas", "array of pandas", "polars", "nested"])
def test_a_write_needs_a_fifth_of_the_value_at_most(kind: str, tmp_path: Path) -> None:
    size = 256 * MIB
    found = run(_MAKE[kind] + _WRITE, tmp_path, size)
    assert found["size"] >= size
    assert found["used"] >= size
    assert found["extra"] <= 0.2 * size


@pytest.mark.parametrize("kind", ["numpy", "arrow"])
def test_more_than_two_gibibytes_come_back_without_being_loaded(kind: str, tmp_path: Path) -> None:
    written = run(_MAKE[kind] + _WRITE, tmp_path, HUGE)
    assert written["size"] > 2**31
    assert written["extra"] <= 0.2 * HUGE
    read = run(_READ, tmp_path, HUGE, json.dumps(written["record"]))
    assert read["extra"] <= 0.02 * HUGE
    (tmp_path / "values" / "key").unlink()
