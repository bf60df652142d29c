"""``/audit/``: who asked for what, and when."""

from __future__ import annotations

from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponseBase
from django.views.decorators.http import require_GET

from workflows_app import access, keyset
from workflows_app.models import AuditEntry
from workflows_app.pages.rendering import page, show

SIZE = 100
NEWEST_FIRST = keyset.Sort("time", descending=True)
FILTERS = ("actor", "verb", "target")


@require_GET
@page
def audit_log(request: HttpRequest) -> HttpResponseBase:
    """The log, newest first; each filter is the whole of its column."""
    access.require(request.user, "view_audit")
    wanted = {name: request.GET.get(name, "").strip()[:1024] for name in FILTERS}
    given = {name: value for name, value in wanted.items() if value}
    found = keyset.paged(
        AuditEntry.objects.filter(**given),
        NEWEST_FIRST,
        cursor=request.GET.get("cursor", ""),
        size=SIZE,
        scope=request.path,
    )
    context = {"found": found, "wanted": wanted, "is_narrowed": given, "query": urlencode(given)}
    return show(request, "pages/audit.html", context)
