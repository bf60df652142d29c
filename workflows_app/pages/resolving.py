"""``/workflows/{id}/resolution/``: note that a failure needs nobody any more, or take that back."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from workflows_app import access, services
from workflows_app.pages.rendering import page, user_of
from workflows_app.problems import Conflict


@require_POST
@page
def resolution(request: HttpRequest, workflow_id: str) -> HttpResponseBase:
    """Both can be taken back, so neither asks first."""
    workflow = access.workflow_for(request.user, workflow_id)
    try:
        if request.POST.get("resolved") == "no":
            services.unresolve(user_of(request), workflow)
            messages.success(request, f"{workflow_id} needs attention again.")
        else:
            services.resolve(user_of(request), workflow)
            messages.success(request, f"{workflow_id} is resolved; it left the lists of failures.")
    except Conflict as problem:
        messages.error(request, problem.detail)
    return HttpResponseRedirect(reverse("workflow", args=[workflow_id]))
