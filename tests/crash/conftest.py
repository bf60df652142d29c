"""The fixtures of the engine tests, for tests that kill."""

from __future__ import annotations

from tests.engine.conftest import cluster, engine, own_engine, session_root

__all__ = ["cluster", "engine", "own_engine", "session_root"]
