"""A request id on every request: taken over when sane, else made; sent back in the answer."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

from workflows_app import log_context

SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

_current: ContextVar[str] = ContextVar("rayflow_request_id", default="")


def current_request_id() -> str:
    """Return the id of the request being served, or an empty string outside of one."""
    return _current.get()


@sync_and_async_middleware
def request_id_middleware(
    get_response: Callable[[HttpRequest], Any],
) -> (
    Callable[[HttpRequest], HttpResponseBase] | Callable[[HttpRequest], Awaitable[HttpResponseBase]]
):
    """Give each request an id that problems, audit entries and logs refer to."""
    # Both forms exist because a synchronous middleware would hold a thread for the whole of
    # every long poll.
    if iscoroutinefunction(get_response):

        async def answer_async(request: HttpRequest) -> HttpResponseBase:
            request_id, began = _begin(request), time.monotonic()
            response: HttpResponseBase = await get_response(request)
            response.headers["X-Request-ID"] = request_id
            log_context.answered(request, response, began)
            return response

        return answer_async

    def answer(request: HttpRequest) -> HttpResponseBase:
        request_id, began = _begin(request), time.monotonic()
        response: HttpResponseBase = get_response(request)
        response.headers["X-Request-ID"] = request_id
        log_context.answered(request, response, began)
        return response

    return answer


def _begin(request: HttpRequest) -> str:
    given = request.headers.get("X-Request-ID", "")
    request_id = given if SANE_ID.fullmatch(given) else uuid.uuid4().hex
    _current.set(request_id)
    log_context.bind(request_id=request_id)
    return request_id
