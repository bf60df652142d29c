"""The local ports of an instance's hidden parts: chosen once, kept in the run folder, changed only
when taken.
"""

from __future__ import annotations

import contextlib
import json
import random
import socket
from pathlib import Path

# Below the range from which kernels give ports to outgoing connections, so that a kept port is
# rarely taken.
FIRST, LAST = 20_000, 32_000
ATTEMPTS = 200


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen on this port now.

    SO_REUSEADDR as servers set it: a port whose last connections are still closing counts as free.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError):
            return False
        return True


def answers(port: int, host: str = "127.0.0.1") -> bool:
    """Whether something accepts connections on this port."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=0.5):
        return True
    return False


class KeptPorts:
    """Ports by name in a JSON file. A second start gets the same ones unless someone else took
    them.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ports: dict[str, int] = self._load()

    def get(self, name: str) -> int:
        """The port kept under this name, or a new free one, which is then kept."""
        kept = self._ports.get(name)
        if kept is not None and is_free(kept) and not answers(kept):
            return kept
        self._ports[name] = self._choose()
        self._path.write_text(json.dumps(self._ports, indent=2) + "\n", encoding="utf-8")
        return self._ports[name]

    def _choose(self) -> int:
        chooser = random.SystemRandom()
        for _ in range(ATTEMPTS):
            port = chooser.randint(FIRST, LAST)
            if port not in self._ports.values() and is_free(port):
                return port
        raise OSError(f"no free port between {FIRST} and {LAST} after {ATTEMPTS} tries")

    def _load(self) -> dict[str, int]:
        # A file cut short by a crash is worth nothing: new ports are chosen.
        try:
            loaded = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        if not isinstance(loaded, dict):
            return {}
        return {name: port for name, port in loaded.items() if isinstance(port, int)}
