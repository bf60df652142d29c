"""The engine's and the follower's condition, from the registry: no request ever calls Ray."""

from __future__ import annotations

import importlib.metadata
from datetime import timedelta
from typing import Any, ClassVar

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from workflows_app import queries
from workflows_app.api.base import ApiView
from workflows_app.models import FollowerState

SWEPT_WITHIN = timedelta(seconds=30)


class EngineSerializer(serializers.Serializer[Any]):
    """Whether the engine answered when the follower last asked."""

    reachable = serializers.BooleanField()
    detail = serializers.CharField(allow_blank=True)


class FollowerSerializer(serializers.Serializer[Any]):
    """The process that carries the journals into the registry."""

    alive = serializers.BooleanField()
    heartbeat_at = serializers.DateTimeField(allow_null=True)
    reconciled_at = serializers.DateTimeField(allow_null=True)
    age_seconds = serializers.FloatField(allow_null=True, help_text="Age of the heartbeat.")


class WorkerSerializer(serializers.Serializer[Any]):
    """The Celery workers and beat, which carry out commands."""

    alive = serializers.BooleanField()
    swept_at = serializers.DateTimeField(
        allow_null=True, help_text="When a worker last did what beat asks for every few seconds."
    )


class ClusterSerializer(serializers.Serializer[Any]):
    """How fresh everything else in this API is."""

    version = serializers.CharField(help_text="The version of RayFlow on the server.")

    engine = EngineSerializer()
    follower = FollowerSerializer()
    worker = WorkerSerializer()


class Cluster(ApiView):
    """Engine and follower."""

    permission: ClassVar[str | None] = "view_cluster"

    @extend_schema(tags=["cluster"], responses=ClusterSerializer)
    def get(self, request: Request) -> Response:
        """Whether the engine is reachable and the registry up to date."""
        state = FollowerState.objects.filter(pk=1).first() or FollowerState(
            detail="The follower has not run yet."
        )
        return Response(ClusterSerializer(describe(state)).data)


def describe(state: FollowerState) -> dict[str, Any]:
    """The answer for one state of the follower."""
    age = timezone.now() - state.heartbeat_at if state.heartbeat_at else None
    alive = age is not None and age < queries.FRESH_WITHIN
    swept = state.swept_at
    return {
        "version": importlib.metadata.version("rayflow"),
        "worker": {
            "alive": swept is not None and timezone.now() - swept < SWEPT_WITHIN,
            "swept_at": swept,
        },
        # What a dead follower last saw says nothing about the engine now.
        "engine": {"reachable": alive and state.engine_reachable, "detail": state.detail},
        "follower": {
            "alive": alive,
            "heartbeat_at": state.heartbeat_at,
            "reconciled_at": state.reconciled_at,
            "age_seconds": None if age is None else age.total_seconds(),
        },
    }
