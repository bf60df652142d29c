"""``/launch/``: choose a definition, fill the form its parameters ask for, start a workflow."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from workflows_app import access, services
from workflows_app.models import Definition
from workflows_app.pages import code_examples, schema_values
from workflows_app.pages.rendering import number_of, page, show, user_of
from workflows_app.pages.schema_fields import Field, fields_of
from workflows_app.problems import Forbidden, Invalid, NotFound, Problem
from workflows_app.services import launching, presets

MOST_DEFINITIONS = 200
MOST_JSON = 1_000_000


@dataclass(slots=True)
class Draft:
    """What the form holds: fresh, prefilled from an earlier workflow, or as it was submitted."""

    params: dict[str, Any]
    json_text: str
    workflow_id: str = ""
    mode: str = "form"
    raw: Mapping[str, str] | None = None
    errors: list[dict[str, Any]] = field(default_factory=list)
    problem: Problem | None = None


@require_http_methods(["GET", "POST"])
@page
def launch(request: HttpRequest) -> HttpResponseBase:
    """The form, or the start of what it describes."""
    access.require(request.user, "start_workflow")
    name = (request.POST if request.method == "POST" else request.GET).get("definition", "")
    if not name:
        return _show_choice(request)
    definition = Definition.objects.filter(name=name, available=True).first()
    if definition is None:
        raise NotFound(
            f"There is no definition {name!r} that can be launched now. Definitions come from the"
            " modules and files named by RAYFLOW_FLOWS; the page “Definitions” lists them."
        )
    fields = fields_of(definition.params_schema)
    if request.method == "GET":
        return _show_form(request, definition, fields, _fresh(request, fields))
    draft = _submitted(request, fields)
    if request.POST.get("act") == "preset":
        return _keep(request, definition, fields, draft)
    if request.POST.get("act") == "code" and not draft.problem:
        return _show_form(request, definition, fields, draft, as_code=True)
    _check(definition, draft)
    if not draft.errors:
        started = _start(request, definition, draft)
        if started is not None:
            return started
    status = draft.problem.status if draft.problem else 400
    return _show_form(request, definition, fields, draft, status=status)


def _keep(
    request: HttpRequest, definition: Definition, fields: tuple[Field, ...], draft: Draft
) -> HttpResponseBase:
    """Keep the parameters under a name. They need not fit yet: a preset may leave things open."""
    if not draft.problem:
        try:
            made = presets.save_preset(
                user_of(request),
                definition.name,
                request.POST.get("preset_name", ""),
                draft.params,
                shared=request.POST.get("preset_shared") == "1",
            )
        except Invalid as problem:
            draft.problem = problem
        else:
            messages.success(request, f"The preset “{made.name}” is kept.")
            query = urlencode({"definition": definition.name, "preset": made.pk})
            return HttpResponseRedirect(f"{reverse('launch')}?{query}")
    return _show_form(request, definition, fields, draft, status=400)


def _check(definition: Definition, draft: Draft) -> None:
    """Find all mistakes at once, where the service would stop at the first kind."""
    try:
        if draft.workflow_id:
            launching.check_id(draft.workflow_id)
    except Invalid as problem:
        draft.errors += problem.errors
    if any(error.get("pointer") != "/workflow_id" for error in draft.errors):
        return
    if "\\u0000" in json.dumps(draft.params):
        detail = "A text holds the character NUL, which cannot be stored; remove it."
        draft.errors.append({"pointer": "", "detail": detail})
        return
    try:
        launching.check_params(definition, draft.params)
    except Invalid as problem:
        draft.errors += problem.errors


def _start(request: HttpRequest, definition: Definition, draft: Draft) -> HttpResponse | None:
    """Ask for the workflow; on a problem the draft learns of it and None is returned."""
    try:
        command = services.launch(
            user_of(request),
            definition=definition.name,
            params=draft.params,
            workflow_id=draft.workflow_id or None,
            idempotency_key=request.POST.get("key") or None,
        )
    except (Forbidden, NotFound):
        raise
    except Problem as problem:
        draft.problem = problem
        draft.errors = list(problem.errors)
        return None
    messages.success(request, f"Launch of {command.workflow_id} requested.")
    return HttpResponseRedirect(reverse("workflow", args=[command.workflow_id]))


def _fresh(request: HttpRequest, fields: tuple[Field, ...]) -> Draft:
    """The defaults, or the parameters of the preset or of the workflow that the address names."""
    params = schema_values.defaults(fields)
    if (key := number_of(request.GET.get("preset", ""))) is not None:
        params = presets.find_preset(user_of(request), key).params
    like = request.GET.get("like", "")
    if like and access.can(request.user, "view_payload"):
        earlier = access.workflow_for(request.user, like)
        if isinstance(earlier.params, dict):
            params = earlier.params
    mode = "json" if request.GET.get("mode") == "json" else "form"
    return Draft(params=params, json_text=_as_text(params), mode=mode)


def _submitted(request: HttpRequest, fields: tuple[Field, ...]) -> Draft:
    workflow_id = request.POST.get("workflow_id", "").strip()
    if request.POST.get("mode") == "json":
        text = request.POST.get("json", "")[:MOST_JSON]
        draft = Draft(params={}, json_text=text, workflow_id=workflow_id, mode="json")
        try:
            draft.params = _read_json(text)
        except Invalid as problem:
            draft.problem = problem
            draft.errors = list(problem.errors)
        return draft
    parsed = schema_values.parse(fields, request.POST)
    return Draft(
        params=parsed.params,
        json_text=_as_text(parsed.params),
        workflow_id=workflow_id,
        raw=request.POST,
        errors=list(parsed.errors),
    )


def _read_json(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text or "{}")
    except (json.JSONDecodeError, RecursionError) as mistake:
        where = f" at line {mistake.lineno}" if isinstance(mistake, json.JSONDecodeError) else ""
        detail = f"The parameters are not valid JSON{where}; check commas, quotes and brackets."
        raise Invalid(detail, errors=[{"pointer": "/json", "detail": detail}]) from mistake
    if not isinstance(value, dict):
        detail = 'The parameters must be one JSON object, such as {"folds": 5}.'
        raise Invalid(detail, errors=[{"pointer": "/json", "detail": detail}])
    return value


def _show_choice(request: HttpRequest) -> HttpResponse:
    definitions = Definition.objects.filter(available=True)[:MOST_DEFINITIONS]
    return show(request, "pages/launch_choice.html", {"definitions": definitions})


def _show_form(
    request: HttpRequest,
    definition: Definition,
    fields: tuple[Field, ...],
    draft: Draft,
    *,
    status: int = 200,
    as_code: bool = False,
) -> HttpResponse:
    # The id is not a parameter: a mistake in it is shown at its own control.
    id_errors = [e["detail"] for e in draft.errors if e.get("pointer") == "/workflow_id"]
    taken = draft.problem is not None and draft.problem.code == "workflow_exists"
    if taken and draft.problem is not None:
        id_errors.append(draft.problem.detail)
    rest = [e for e in draft.errors if e.get("pointer") != "/workflow_id"]
    context = {
        "definition": definition,
        "draft": draft,
        "rows": schema_values.rows(fields, draft.params, errors=rest, raw=draft.raw),
        "general_errors": list(schema_values.with_general_errors(rest, fields)),
        "id_errors": id_errors,
        "has_errors": bool(draft.errors or draft.problem),
        "field_errors": [e for e in rest if e.get("pointer") != "/json"],
        "key": uuid.uuid4().hex,
        "presets": presets.presets_for(user_of(request), definition.name),
        "examples": as_code
        and code_examples.launch(request, definition.name, draft.params, draft.workflow_id),
    }
    return show(request, "pages/launch.html", context, status=status)


def _as_text(params: Mapping[str, Any]) -> str:
    return json.dumps(params, indent=2, ensure_ascii=False)
