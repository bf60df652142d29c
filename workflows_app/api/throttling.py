"""How often a caller may ask: `DEFAULT_THROTTLE_RATES` of the `REST_FRAMEWORK` setting."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.throttling import AnonRateThrottle, SimpleRateThrottle

from workflows_app.models import ApiToken


class AnonymousRate(AnonRateThrottle):
    """Callers without an account, by address: this is also what slows down guessing of tokens."""

    scope = "anon"


class SessionRate(SimpleRateThrottle):
    """People in a browser, by account."""

    scope = "user"

    def get_cache_key(self, request: Request, view: Any) -> str | None:
        if not request.user.is_authenticated or request.auth is not None:
            return None
        return self.cache_format % {"scope": self.scope, "ident": request.user.pk}


class TokenRate(SimpleRateThrottle):
    """Programs, by token: one runaway script does not lock its owner out of the console."""

    scope = "token"

    def get_cache_key(self, request: Request, view: Any) -> str | None:
        if not isinstance(request.auth, ApiToken):
            return None
        return self.cache_format % {"scope": self.scope, "ident": request.auth.pk}
