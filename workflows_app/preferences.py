"""How an account wants the console to look: kept with the account, and in cookies of its browsers.

Pages read the cookies only, so a page costs no statement for them; signing in brings them to a new browser.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from zoneinfo import available_timezones

from django.http import HttpRequest, HttpResponseBase

from workflows_app import workflow_columns
from workflows_app.models import Preferences

YEAR = 365 * 86_400


def _columns(text: str) -> bool:
    return all(name in workflow_columns.COLUMNS for name in text.split("."))


def _zone(text: str) -> bool:
    return text in available_timezones()


# What there is to choose, and whether a text is one of the choices; empty takes a choice back.
KNOWN: dict[str, Callable[[str], bool]] = {
    "theme": {"light", "dark", "system"}.__contains__,
    "times": {"relative", "local", "utc"}.__contains__,
    "zone": _zone,
    "columns": _columns,
    "keys": {"on", "off"}.__contains__,
}


def accepted(given: Mapping[str, str]) -> dict[str, str]:
    """What of ``given`` is a preference with a value it may have."""
    return {
        name: given[name]
        for name, is_valid in KNOWN.items()
        if name in given and (given[name] == "" or is_valid(given[name]))
    }


def of_account(user: Any) -> dict[str, str]:
    """What the account has chosen, in whichever browser."""
    kept = Preferences.objects.filter(user=user).first()
    return accepted(kept.values) if kept else {}


def into_cookies(
    request: HttpRequest, response: HttpResponseBase, values: Mapping[str, str]
) -> None:
    """Let this browser know ``values``."""
    for name, value in values.items():
        if value:
            response.set_cookie(
                name, value, max_age=YEAR, samesite="Lax", secure=request.is_secure()
            )
        else:
            response.delete_cookie(name, samesite="Lax")
