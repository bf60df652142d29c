"""``/launch/presets/``: keep what the launch form holds under a name, or forget such a preset."""

from __future__ import annotations

from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from workflows_app import access
from workflows_app.pages.rendering import number_of, page, user_of
from workflows_app.problems import Invalid
from workflows_app.services import presets


@require_POST
@page
def preset(request: HttpRequest) -> HttpResponseBase:
    """Forget the preset named by ``forget``. (Keeping one is a button of the launch form.)"""
    access.require(request.user, "start_workflow")
    key = number_of(request.POST.get("forget", ""))
    if key is None:
        raise Invalid("Choose the preset to forget on the page of the launch form.")
    gone = presets.delete_preset(user_of(request), key)
    messages.success(request, f"The preset “{gone.name}” is forgotten.")
    query = urlencode({"definition": gone.definition})
    return HttpResponseRedirect(f"{reverse('launch')}?{query}")
