"""`manage.py follow`: keep the registry up to date with the journals until told to stop."""

from __future__ import annotations

import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand

from workflows_app import cluster_watch
from workflows_app.follower import Follower
from workflows_app.gateway import gateway


class Command(BaseCommand):
    """Follow the engine's journals into the registry."""

    help = "Keep the registry up to date with the journals. Runs until SIGINT or SIGTERM."

    def handle(self, *args: Any, **options: Any) -> None:
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        self.stdout.write("Following the journals.")
        watcher = threading.Thread(
            target=cluster_watch.watch, args=(gateway(), stop), name="cluster watch", daemon=True
        )
        watcher.start()
        Follower(gateway()).run(stop)
        self.stdout.write("Stopped following.")
