"""`/healthz` and `/readyz`: for supervisors and load balancers, without an account."""

from __future__ import annotations

from collections.abc import Callable

import redis
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from workflows_app.api.problems import Fault

REDIS_TIMEOUT_SECONDS = 1.0


@login_not_required
@never_cache
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """The process answers; nothing else is looked at, so that a slow database kills no process."""
    return JsonResponse({"status": "ok"})


@login_not_required
@never_cache
@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """Whether requests can be served: the database and Redis answer."""
    checks = {name: _outcome(check) for name, check in CHECKS.items()}
    if set(checks.values()) == {"ok"}:
        return JsonResponse({"status": "ok", "checks": checks})
    missing = ", ".join(name for name, outcome in checks.items() if outcome != "ok")
    return Fault(
        "not_ready",
        503,
        "Not ready",
        f"No answer from: {missing}. The server's log says why.",
        extra={"checks": checks},
    ).response(request)


def _database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _redis() -> None:
    client = redis.Redis.from_url(
        settings.CELERY_BROKER_URL,
        socket_connect_timeout=REDIS_TIMEOUT_SECONDS,
        socket_timeout=REDIS_TIMEOUT_SECONDS,
    )
    with client:
        client.ping()


def _outcome(check: Callable[[], None]) -> str:
    try:
        check()
    except (DatabaseError, redis.RedisError, OSError) as error:
        return type(error).__name__
    return "ok"


CHECKS: dict[str, Callable[[], None]] = {"database": _database, "redis": _redis}
