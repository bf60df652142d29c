"""Finds and ends exactly the processes that this instance started, and no other.

Each part leads its own session. A process belongs to a part when it is in that session, or descends
from this one.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import sys
import time
from collections.abc import Collection, Iterable
from pathlib import Path

import psutil

PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Let orphaned grandchildren become children of this process (Linux), so that none escapes and
    none stays a zombie.

    Elsewhere sessions alone have to do.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def in_session(session: int) -> list[psutil.Process]:
    """The living processes of one session."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(OSError, psutil.Error):
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def end(processes: Iterable[psutil.Process], *, patience: float = 3.0) -> None:
    """Kill these processes and wait until they are gone."""
    alive = list(processes)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, timeout=patience)


def sweep_session(session: int) -> None:
    """End what is left of a part after its leader is gone, repeatedly: a dying process may have
    just started another.
    """
    deadline = time.monotonic() + 5.0
    while (left := in_session(session)) and time.monotonic() < deadline:
        end(left)


def reap_orphans(*, leaders: Collection[int] = ()) -> None:
    """Collect the exit status of adopted processes that died, so that they do not stay as zombies.

    Args:
        leaders: processes whose exit status someone else waits for.
    """
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error, ChildProcessError):
            if child.pid not in leaders and child.status() == psutil.STATUS_ZOMBIE:
                os.waitpid(child.pid, os.WNOHANG)


def sweep_descendants() -> None:
    """End every process that still descends from this one: the last word of a stop."""
    end(psutil.Process().children(recursive=True))
    reap_orphans()


class RecordedSessions:
    """The running parts and their sessions, on disk: the next start ends what a killed supervisor
    left, and a person finds the process of a part.
    """

    def __init__(self, path: Path, data_dir: Path) -> None:
        self._path = path
        self._data_dir = data_dir
        self._sessions: dict[str, int] = {}

    def add(self, part: str, session: int) -> None:
        """Remember a part that was just started."""
        self._sessions[part] = session
        self._write()

    def remove(self, part: str, session: int) -> None:
        """Forget a part that was swept, unless it has been started again meanwhile."""
        if self._sessions.get(part) == session:
            del self._sessions[part]
            self._write()

    def reap_orphans(self) -> None:
        """Collect dead orphans; the parts themselves are waited for by those who started them."""
        reap_orphans(leaders=self._sessions.values())

    def sweep_left_over(self) -> int:
        """End what an earlier supervisor of this data folder left behind.

        Session numbers are reused by the kernel, so a process must also carry this data folder in
        its environment, or work in it: Redis writes its title over its environment.

        Returns:
            how many processes that were.
        """
        candidates = [process for session in self._read() for process in in_session(session)]
        left = [process for process in candidates if self._is_ours(process)]
        end(left)
        self._path.unlink(missing_ok=True)
        return len(left)

    def _is_ours(self, process: psutil.Process) -> bool:
        with contextlib.suppress(psutil.Error):
            return (
                process.environ().get("RAYFLOW_DATA_DIR") == str(self._data_dir)
                or self._data_dir.resolve() in Path(process.cwd()).parents
            )
        return False

    def _read(self) -> list[int]:
        try:
            loaded = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return []
        sessions = loaded.values() if isinstance(loaded, dict) else ()
        return [session for session in sessions if isinstance(session, int)]

    def _write(self) -> None:
        # Renamed into place: whoever reads it never sees half of it.
        unfinished = self._path.with_suffix(".new")
        unfinished.write_text(json.dumps(self._sessions, indent=2) + "\n", encoding="utf-8")
        unfinished.replace(self._path)
