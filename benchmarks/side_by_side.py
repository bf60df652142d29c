"""The peers on the same work: each in an environment of its own, made once, below ``benchmarks/.environments``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ENVIRONMENTS = HERE / ".environments"
LONGEST_SECONDS = 900


@dataclass(frozen=True)
class Peer:
    """A system that does the same: what to install, which program to run, and on what."""

    name: str
    environment: str
    packages: tuple[str, ...]
    program: str
    sizes: tuple[int, int, int] = (500, 100, 100)  # what counts are rates
    needs_database: bool = False

    @property
    def python(self) -> Path:
        """The interpreter of its environment."""
        return ENVIRONMENTS / self.environment / "bin" / "python"

    def install(self) -> None:
        """Make its environment, if it is not there.

        Raises:
            subprocess.CalledProcessError: a package cannot be installed.
        """
        if self.python.exists():
            return
        subprocess.run([sys.executable, "-m", "venv", str(self.python.parent.parent)], check=True)
        pip = [str(self.python), "-m", "pip", "install", "--quiet", *self.packages]
        subprocess.run(pip, check=True)

    def measure(self, cpus: int, database: str | None) -> dict[str, float]:
        """One round; the figures by their names.

        Raises:
            subprocess.SubprocessError: its program fails or does not end.
        """
        words = [str(size) for size in self.sizes]
        environment = {**os.environ, **({"BENCH_DATABASE": database} if database else {})}
        environment.pop("PYTHONPATH", None)
        ended = subprocess.run(
            [str(self.python), str(HERE / "peers" / self.program), *words, str(cpus)],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True,
            timeout=LONGEST_SECONDS, env=environment,
        )  # fmt: skip
        figures: dict[str, float] = json.loads(ended.stdout.strip().splitlines()[-1])
        return figures


_DBOS = ("dbos==3.4.0", "psycopg[binary]")
PEERS = (
    Peer("ray.workflow (Ray 2.44)", "ray-workflow", ("ray==2.44.1", "pyarrow"), "ray_workflow.py"),
    Peer("DBOS, SQLite", "dbos", _DBOS, "dbos_steps.py"),
    Peer("DBOS, PostgreSQL", "dbos", _DBOS, "dbos_steps.py", needs_database=True),
    Peer("Prefect", "prefect", ("prefect",), "prefect_flows.py", sizes=(200, 20, 32)),
)
_PLOTS = Peer("plots", "plots", ("matplotlib",), "../plots.py")


def draw(figures: Path) -> None:
    """Make the plots of the page from the stored figures, with a library that nothing else needs."""
    _PLOTS.install()
    subprocess.run([str(_PLOTS.python), str(HERE / "plots.py"), str(figures)], check=True)


@contextmanager
def database() -> Iterator[str]:
    """The address of a PostgreSQL server of our own."""
    from tests.postgresql import postgresql

    with postgresql() as server:
        yield server.address
