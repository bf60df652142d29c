"""What the cluster looked like, now and then."""

from __future__ import annotations

from django.db import models


class ClusterSample(models.Model):
    """The cluster at one moment: see :mod:`workflows_app.cluster_watch`. Kept for a day."""

    time = models.DateTimeField(db_index=True)
    # By resource ("CPU", "GPU", "memory", "object_store_memory", …; memory in bytes): [used, total].
    resources = models.JSONField(default=dict)
    nodes = models.JSONField(default=list)
    # Celery's processes, and how many commands wait in the broker; None: the broker did not answer.
    workers = models.JSONField(default=list)
    queued = models.IntegerField(null=True)
    # Why something of this could not be seen; empty if all of it could.
    problem = models.TextField(default="", blank=True)

    class Meta:
        ordering = ["-time"]
        default_permissions = ()

    def __str__(self) -> str:
        return f"{len(self.nodes)} nodes at {self.time:%Y-%m-%d %H:%M:%S}"
