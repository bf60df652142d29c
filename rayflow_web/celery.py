"""The Celery application. Its tasks live in `workflows_app.tasks`."""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rayflow_web.settings")

app = Celery("rayflow_web")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
