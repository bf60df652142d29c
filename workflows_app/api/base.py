"""What every API view shares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django.contrib.auth.models import User
from rest_framework import serializers
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated
from rest_framework.request import Request
from rest_framework.views import APIView

from workflows_app import access
from workflows_app.problems import Invalid


class BadQuery(Invalid):
    """A query parameter that this endpoint does not have, or a value it cannot take."""

    default_code = "bad_query"
    title = "The query parameters do not fit"


class ApiView(APIView):
    """A view that names the permission each method needs.

    `permission` is needed by every method that `permissions_by_method` does not name; None asks for
    nothing but an account.
    """

    http_method_names = ["get", "head", "post", "delete"]
    permission: ClassVar[str | None] = "view_workflow"
    permissions_by_method: ClassVar[Mapping[str, str]] = {}

    def perform_authentication(self, request: Request) -> None:
        """Authenticate, and count a wrong token against its sender like any anonymous request."""
        try:
            super().perform_authentication(request)
        except AuthenticationFailed:
            self.check_throttles(request)
            raise

    @property
    def caller(self) -> User:
        """The account behind the request; `MayCall` has made sure that there is one."""
        user = self.request.user
        if not isinstance(user, User):
            raise NotAuthenticated
        return user

    def shown(self) -> dict[str, Any]:
        """The context that tells serializers whether the caller may see values."""
        return {"payload": access.can(self.caller, "view_payload")}


def read_query(request: Request, form: type[serializers.Serializer[Any]]) -> dict[str, Any]:
    """Validate the query string against `form`.

    Raises `BadQuery` naming each parameter, unknown ones too: a misspelt filter that is silently
    ignored would list, and let a script act on, everything.
    """
    known = form()
    errors = [
        {"location": "query", "parameter": name, "pointer": "", "detail": "Unknown parameter."}
        for name in request.query_params
        if name not in known.fields
    ]
    bound = form(data=request.query_params)
    if not bound.is_valid():
        errors += [
            {"location": "query", "parameter": name, "pointer": "", "detail": str(detail)}
            for name, details in bound.errors.items()
            for detail in details
        ]
    if errors:
        names = ", ".join(dict.fromkeys(error["parameter"] for error in errors))
        allowed = ", ".join(known.fields) or "none"
        raise BadQuery(f"Correct {names}; allowed here: {allowed}.", errors=errors)
    return dict(bound.validated_data)
