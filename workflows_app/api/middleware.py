"""The border of the API: whatever happens inside, `/api/` answers errors as problems.

Django REST framework only sees what reaches a view. The router's 404, a refused host, a failing
middleware and an unhandled exception end here, with the same body as every other error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

from workflows_app.api.problems import BY_STATUS, CONTENT_TYPE, Fault, for_status

PREFIX = "/api/"
PATHS = ("/healthz", "/readyz")
# Headers of the replaced answer that a client needs to act on it.
KEPT_HEADERS = ("Allow", "Retry-After", "WWW-Authenticate")
# No database can look for it, so nothing can be addressed by it.
NUL = Fault("bad_request", 400, "Bad request", "The address may not hold the NUL character.")


@sync_and_async_middleware
def api_boundary(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Refuse oversized bodies, accept a missing trailing slash, turn bare errors into problems."""
    # Both forms exist because a synchronous middleware would hold a thread for the whole of
    # every long-poll.
    if iscoroutinefunction(get_response):

        async def answer_async(request: HttpRequest) -> HttpResponseBase:
            if not request.path_info.startswith((PREFIX, *PATHS)):
                return cast(HttpResponseBase, await get_response(request))
            refused = _admit(request)
            return refused or _as_problem(request, await get_response(request))

        return answer_async

    def answer(request: HttpRequest) -> HttpResponseBase:
        if not request.path_info.startswith((PREFIX, *PATHS)):
            return cast(HttpResponseBase, get_response(request))
        refused = _admit(request)
        return refused or _as_problem(request, get_response(request))

    return answer


def _admit(request: HttpRequest) -> HttpResponseBase | None:
    """Prepare the request for routing, or answer why it goes no further."""
    if not request.path_info.endswith("/") and request.path_info.startswith(PREFIX):
        # A redirect would lose the body of a POST and the escapes of an odd workflow id.
        request.path_info += "/"
    if "\x00" in request.path_info or "%00" in request.META.get("QUERY_STRING", ""):
        return NUL.response(request)
    length = request.META.get("CONTENT_LENGTH") or ""
    if not length and "Transfer-Encoding" in request.headers:
        # Django REST framework would take such a body for an empty one.
        return BY_STATUS[411].response(request)
    if length.isascii() and length.isdigit() and int(length[:20]) > settings.API_MAX_BODY_BYTES:
        return BY_STATUS[413].response(request)
    return None


def _as_problem(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    if response.status_code < 400 or response.get("Content-Type", "").startswith(CONTENT_TYPE):
        return response
    problem: HttpResponse = for_status(response.status_code).response(request)
    for name in KEPT_HEADERS:
        if response.has_header(name):
            problem.headers[name] = response.headers[name]
    return problem
