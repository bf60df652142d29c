"""``/help/``: the words, the statuses and the keys of the console."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponseBase
from django.views.decorators.http import require_GET

from workflows_app.pages.rendering import page, show
from workflows_app.search import ALL_KEYS

STATUSES = (
    ("PENDING", "Accepted and durable; waits for its turn.", "suspend, cancel"),
    ("RUNNING", "Its tasks are being worked on.", "suspend, cancel"),
    ("SUCCESSFUL", "It ended with a result, which is kept.", "delete"),
    ("FAILED", "A task failed for good; what finished keeps its checkpoint.", "resume, delete"),
    ("RESUMABLE", "It was interrupted from outside and can go on.", "resume, delete"),
    ("CANCELED", "Somebody canceled it; this is final.", "delete"),
)
KEYS = (
    ("Ctrl K", "Go to anything by a few letters"),
    ("/", "Search on this page"),
    ("g o", "Go to Overview"),
    ("g w", "Go to Workflows"),
    ("g f", "Go to Failures"),
    ("g a", "Go to Approvals"),
    ("g s", "Go to Schedules"),
    ("g l", "Go to Launch"),
    ("g d", "Go to Definitions"),
    ("g c", "Go to Cluster"),
    ("g t", "Go to Storage"),
    ("j k", "Next and previous row of a list"),
    ("Enter", "Open the row"),
    ("o", "Open the row in a new tab"),
    ("x", "Tick the row; with Shift, all from the last one to it"),
    ("r c", "Ask to resume, to cancel the workflow"),
    ("f l", "The plan of a resume or a fork; the logs"),
    ("t", "Times: relative, local, UTC"),
    ("1 … 7", "Tabs of a workflow"),
    ("?", "This page"),
    ("Esc", "Close a dialog or a menu"),
)


@require_GET
@page
def help_page(request: HttpRequest) -> HttpResponseBase:
    """One page of help; everything else is explained where it is used."""
    context = {"statuses": STATUSES, "keys": KEYS, "search_keys": ALL_KEYS}
    return show(request, "pages/help.html", context)
