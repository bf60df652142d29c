"""``/definitions/``: what can be launched, and the parameters of each."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponseBase
from django.views.decorators.http import require_GET

from workflows_app import access
from workflows_app.models import Definition
from workflows_app.pages.rendering import page, show
from workflows_app.pages.schema_fields import fields_of
from workflows_app.pages.workflows import permissions, slim
from workflows_app.problems import NotFound

MOST = 200
RECENT = 10


@require_GET
@page
def definition_list(request: HttpRequest) -> HttpResponseBase:
    """All definitions, those that are no longer loaded last."""
    definitions = list(Definition.objects.order_by("-available", "name")[: MOST + 1])
    rows = [(item, fields_of(item.params_schema)) for item in definitions[:MOST]]
    context = {"rows": rows, "may": permissions(request), "more": len(definitions) > MOST}
    return show(request, "pages/definitions.html", context)


@require_GET
@page
def definition_detail(request: HttpRequest, name: str) -> HttpResponseBase:
    """One definition: description, parameters, latest workflows."""
    definition = Definition.objects.filter(name=name).first()
    if definition is None:
        raise NotFound(f"There is no definition {name!r}. The page “Definitions” lists all.")
    of_this = access.workflows_for(request.user).filter(definition=name)
    latest = list(slim(of_this).order_by("-created_at", "-id")[:RECENT])
    context = {
        "definition": definition,
        "fields": fields_of(definition.params_schema),
        "workflows": latest,
        "may": permissions(request),
    }
    return show(request, "pages/definition.html", context)
