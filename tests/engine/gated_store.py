"""A store whose workflows cannot be written while its gate is closed: durability can be waited for."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from rayflow.storage.local import LocalStore
from rayflow.storage.store import Buffer

MODULE = __name__


def factory(path: str) -> GatedStore:
    """For ``custom://``."""
    return GatedStore(path)


def gate(root: str) -> Path:
    """While this file exists, nothing of any workflow is written below ``root``."""
    return Path(f"{root}.closed")


class GatedStore(LocalStore):
    """A local store; writes and appends below ``workflows/`` wait for the gate."""

    def write(self, key: str, parts: Sequence[Buffer], *, if_absent: bool = False) -> None:
        self._pass(key)
        super().write(key, parts, if_absent=if_absent)

    def append(self, key: str, offset: int, data: Buffer) -> None:
        self._pass(key)
        super().append(key, offset, data)

    def own(self, engine: int = 0) -> None:
        """Every append is one of its own."""

    def _pass(self, key: str) -> None:
        while key.startswith("workflows/") and gate(self.uri).exists():
            time.sleep(0.01)
