"""What a caller may do: the token's scope first, then the user's own permissions."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from workflows_app import access
from workflows_app.models import ApiToken
from workflows_app.problems import Forbidden


class InsufficientScope(Forbidden):
    """The token's owner may do it; this token was made to do less."""

    default_code = "insufficient_scope"
    title = "The token's scope is too small"


class MayCall(BasePermission):
    """Signed in, with a scope that covers the method and the permission the view names for it."""

    WRITING_SCOPES: ClassVar[frozenset[str]] = frozenset({"write", "admin"})

    def has_permission(self, request: Request, view: Any) -> bool:
        if not request.user.is_authenticated:
            return False
        token = request.auth
        if isinstance(token, ApiToken) and not self._covers(token, request.method or ""):
            raise InsufficientScope(
                f"Token {token.name} has scope {token.scope}; {request.method} needs scope write."
            )
        permission = view.permissions_by_method.get(request.method, view.permission)
        if permission is not None:
            access.require(request.user, permission)
        return True

    def _covers(self, token: ApiToken, method: str) -> bool:
        return method in SAFE_METHODS or token.scope in self.WRITING_SCOPES
