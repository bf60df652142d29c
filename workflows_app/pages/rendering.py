"""What all pages share: full page or live fragment, and problems shown as pages."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils.cache import patch_vary_headers

from workflows_app import access
from workflows_app.problems import Invalid, NotFound, Problem

P = ParamSpec("P")
NUMBER = re.compile(r"[0-9]{1,15}")


def is_fragment(request: HttpRequest) -> bool:
    """Whether the browser asked for the changing part of the page only."""
    return request.headers.get("HX-Request") == "true"


def user_of(request: HttpRequest) -> User:
    """The account behind the request; the login middleware lets nobody else through."""
    assert isinstance(request.user, User)
    return request.user


def topic(name: str, *, after: int | None = None, params: Mapping[str, Any] | None = None) -> Any:
    """One subscription of a page, as the browser's live client reads it."""
    wanted: dict[str, Any] = {"topic": name}
    if after is not None:
        wanted["after"] = after
    if params is not None:
        wanted["params"] = dict(params)
    return wanted


def show(
    request: HttpRequest,
    template: str,
    context: Mapping[str, Any],
    *,
    live: Iterable[Any] = (),
    status: int = 200,
) -> HttpResponse:
    """Render a page, or only its ``live`` block when the live client or a filter asks for it."""
    topics = list(live)
    full = {
        "layout": "fragment.html" if is_fragment(request) else "shell.html",
        "live_topics": json.dumps(topics) if topics else "",
        **context,
    }
    response = render(request, template, full, status=status)
    # The same address answers with a page or with a part of it: no cache may mix them up.
    patch_vary_headers(response, ["HX-Request", "Cookie"])
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def page(
    view: Callable[Concatenate[HttpRequest, P], HttpResponseBase],
) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    """Let a view raise the application's problems; each becomes a page that says what to do."""

    @wraps(view)
    def answer(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        try:
            _refuse_nul(request)
            access.require(request.user, "view_workflow")
            return view(request, *args, **kwargs)
        except Problem as problem:
            return show_problem(request, problem)

    return answer


def _refuse_nul(request: HttpRequest) -> None:
    """No database stores the character NUL, so nothing that holds one can be found or kept."""
    if "\x00" in request.path:
        raise NotFound("There is no page at this address.")
    sent = [*request.GET.lists(), *request.POST.lists()]
    if any("\x00" in text for name, values in sent for text in (name, *values)):
        raise Invalid("The request holds the character NUL, which cannot be stored; remove it.")


def number_of(text: str) -> int | None:
    """The number that a text from an address or a form is; None if it is none, or too long for a column."""
    return int(text) if NUMBER.fullmatch(text) else None


def numbers_of(texts: Iterable[str]) -> list[int]:
    """Those of the texts that are numbers."""
    return [number for text in texts if (number := number_of(text)) is not None]


def show_problem(request: HttpRequest, problem: Problem) -> HttpResponse:
    """A problem as a page of its own, with its status."""
    template = "404.html" if isinstance(problem, NotFound) else "pages/problem.html"
    return show(request, template, {"problem": problem}, status=problem.status)
