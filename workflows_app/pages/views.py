"""Views of the list of workflows: those that everybody has, and those that people keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from workflows_app import queries, services, workflow_columns
from workflows_app.models import SavedView
from workflows_app.pages.rendering import number_of, page, show, user_of
from workflows_app.problems import Conflict, Invalid

SHOWN = 12


@dataclass(frozen=True, slots=True)
class View:
    """A query with a name, as a link above the list."""

    name: str
    q: str
    query: str
    is_here: bool
    saved: SavedView | None = None


EVERYBODYS = (
    ("All", ""),
    ("Running", "status:[PENDING,RUNNING]"),
    ("Needs attention", "resolved:false"),
    ("Today", "created:-24h"),
)


class ViewForm(forms.Form):
    """The name of a view and who sees it; what it shows comes with the address."""

    name = forms.CharField(max_length=100)
    shared = forms.BooleanField(required=False)


def bar(user: User, *, q: str, is_plain: bool) -> list[View]:
    """The views above the list.

    Args:
        q: the query that is shown.
        is_plain: whether nothing but the query narrows the list.
    """
    shown = q if is_plain else None
    usual = [
        View(name, text, urlencode({"q": text}) if text else "", text == shown)
        for name, text in EVERYBODYS
    ]
    kept = services.views_for(user)[:SHOWN]
    return usual + [View(v.name, v.query, _as_query(v), v.query == shown, v) for v in kept]


def _as_query(view: SavedView) -> str:
    columns = workflow_columns.as_text(workflow_columns.of(view.columns)) if view.columns else ""
    given = {"q": view.query, "sort": view.sort if view.sort != "-created" else ""}
    return urlencode({k: v for k, v in {**given, "columns": columns}.items() if v})


@require_http_methods(["GET", "HEAD", "POST"])
@page
def view_new(request: HttpRequest) -> HttpResponseBase:
    """Keep what the list shows under a name."""
    shown = _shown(request)
    form = ViewForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            made = services.save_view(user_of(request), {**shown, **form.cleaned_data})
        except (Conflict, Invalid) as problem:
            form.add_error("name", problem.detail)
        else:
            messages.success(request, f"The view “{made.name}” is kept.")
            return HttpResponseRedirect(f"{reverse('workflows')}?{_as_query(made)}")
    context = {"form": form, "shown": shown, "back": urlencode({"q": shown["query"]})}
    status = 400 if form.errors else 200
    return show(request, "pages/view_form.html", context, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
@page
def view_list(request: HttpRequest) -> HttpResponseBase:
    """The views an account may see, and a button to forget one's own."""
    user = user_of(request)
    if request.method == "POST":
        view = services.find_view(user, number_of(request.POST.get("view", "")) or 0)
        services.delete_view(user, view)
        messages.success(request, f"The view “{view.name}” is forgotten.")
        return HttpResponseRedirect(reverse("views"))
    views = [(view, _as_query(view)) for view in services.views_for(user)[:200]]
    return show(request, "pages/views.html", {"views": views})


def _shown(request: HttpRequest) -> dict[str, Any]:
    """What of the list's address a view keeps; status and definition become part of the query."""
    given = request.GET
    terms = [given.get("q", "").strip()[:900]]
    terms += [f"{key}:{_quoted(given[key])}" for key in ("status", "definition") if given.get(key)]
    sort = given.get("sort", "")
    return {
        "query": " ".join(term for term in terms if term),
        "sort": sort if sort in queries.SORTS else "-created",
        "columns": [
            column.name
            for column in workflow_columns.chosen(given.get("columns", ""))
            if given.get("columns")
        ],
    }


def _quoted(text: str) -> str:
    is_plain = not any(mark in text for mark in ' \t"[],:*')
    return text if is_plain else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
