"""Who the caller is, as the server sees it."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from workflows_app.api.base import ApiView
from workflows_app.models import ApiToken

APP = "workflows_app."


class TokenSerializer(serializers.ModelSerializer[ApiToken]):
    """The token the request came with; its secret is kept nowhere."""

    scope = serializers.CharField()

    class Meta:
        model = ApiToken
        fields = ("name", "prefix", "scope", "created_at", "expires_at")
        read_only_fields = fields


class MeSerializer(serializers.Serializer[Any]):
    """An account and what it may do."""

    username = serializers.CharField()
    groups = serializers.ListField(child=serializers.CharField())
    permissions = serializers.ListField(child=serializers.CharField())
    token = TokenSerializer(allow_null=True)


class Me(ApiView):
    """The caller."""

    permission: ClassVar[str | None] = None

    @extend_schema(tags=["account"], responses=MeSerializer)
    def get(self, request: Request) -> Response:
        """The account behind the request, its permissions and its token."""
        user: Any = request.user
        held = user.get_all_permissions()
        body = {
            "username": user.get_username(),
            "groups": sorted(group.name for group in user.groups.all()),
            "permissions": sorted(p.removeprefix(APP) for p in held if p.startswith(APP)),
            "token": request.auth,
        }
        return Response(MeSerializer(body).data)
