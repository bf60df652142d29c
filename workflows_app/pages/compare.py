"""``/compare/?a=…&b=…``: two workflows side by side."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponseBase
from django.views.decorators.http import require_GET

from workflows_app import access, comparing
from workflows_app.models import Workflow
from workflows_app.pages.rendering import page, show
from workflows_app.pages.workflows import permissions, slim

SUGGESTED = 20


@require_GET
@page
def compare(request: HttpRequest) -> HttpResponseBase:
    """What differs in what they were given and in what became of their tasks; first, which two."""
    names = {side: request.GET.get(side, "").strip()[:1024] for side in ("a", "b")}
    if not all(names.values()):
        return _ask(request, names)
    a, b = (access.workflow_for(request.user, name) for name in names.values())
    may = permissions(request)
    found = comparing.compare(a, b, may_see_payload=may["payload"])
    context = {
        "a": a,
        "b": b,
        "may": may,
        "sides": ((a, found["only_in_a"]), (b, found["only_in_b"])),
        "documents": [
            (title, found[key])
            for title, key in (
                ("Parameters", "params"),
                ("Metadata", "user_metadata"),
                ("Tags", "tags"),
            )
            if found[key] is not None and (key != "user_metadata" or may["payload"])
        ],
        "groups": found["task_groups"],
        "divergence": found["first_divergence"],
    }
    return show(request, "pages/compare.html", context)


def _ask(request: HttpRequest, names: dict[str, str]) -> HttpResponseBase:
    """Which two; the other runs of the same definition are at hand."""
    known = Workflow.objects.none()
    if names["a"]:
        first = access.workflow_for(request.user, names["a"])
        others = access.workflows_for(request.user).filter(definition=first.definition)
        known = others.exclude(pk=first.pk).order_by("-created_at", "-id")
    context = {"names": names, "workflows": slim(known)[:SUGGESTED], "may": permissions(request)}
    return show(request, "pages/compare_choice.html", context)
