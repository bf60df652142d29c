"""Keeping what the cluster looked like."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone

from workflows_app.models import ClusterSample

KEEP = timedelta(hours=24)


def keep_sample(**seen: Any) -> ClusterSample:
    """Note what was seen just now, and forget what is older than a day."""
    now = timezone.now()
    ClusterSample.objects.filter(time__lt=now - KEEP).delete()
    return ClusterSample.objects.create(time=now, **seen)
