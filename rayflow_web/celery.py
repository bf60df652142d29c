"""The Celery application. Its tasks live in `workflows_app.tasks`."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.signals import worker_init

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rayflow_web.settings")

app = Celery("rayflow_web")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_init.connect
def keep_connections(**_: Any) -> None:
    """The worker's threads stay, so each of them keeps its connection to the database for a while."""
    from django.db import connections

    connections.settings["default"]["CONN_MAX_AGE"] = 60
