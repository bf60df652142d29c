"""Settings of the bulk measurement: the real ones, with an engine that takes notes."""

from __future__ import annotations

from rayflow_web.settings import *  # noqa: F403

RAYFLOW_GATEWAY = "tests.scale.bulk.NotingGateway"
