"""Definitions: what can be launched, with the JSON Schema of its parameters."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from workflows_app.api.base import ApiView, read_query
from workflows_app.api.pagination import PageQuery, PageSerializer, paginate
from workflows_app.keyset import Sort
from workflows_app.models import Definition
from workflows_app.problems import NotFound

BY_NAME = Sort("name")


class DefinitionSerializer(serializers.ModelSerializer[Definition]):
    """A launchable function."""

    params_schema = serializers.DictField(help_text="JSON Schema 2020-12 of `params`.")
    tags = serializers.DictField()

    class Meta:
        model = Definition
        fields = (
            "name",
            "description",
            "module",
            "params_schema",
            "tags",
            "available",
            "updated_at",
        )
        read_only_fields = fields


class DefinitionPage(serializers.Serializer[Any]):
    """A page of definitions."""

    items = DefinitionSerializer(many=True)
    page = PageSerializer()


class DefinitionList(ApiView):
    """List definitions by name; those no longer loaded are left out."""

    @extend_schema(tags=["definitions"], parameters=[PageQuery], responses=DefinitionPage)
    def get(self, request: Request) -> Response:
        query = read_query(request, PageQuery)
        rows = Definition.objects.filter(available=True)
        page = paginate(rows, BY_NAME, scope="definitions", query=query)
        return Response(page.envelope(DefinitionSerializer(page.rows, many=True).data))


class DefinitionDetail(ApiView):
    """One definition, also when it is no longer loaded: old workflows refer to it."""

    @extend_schema(tags=["definitions"], responses=DefinitionSerializer)
    def get(self, request: Request, name: str) -> Response:
        definition = Definition.objects.filter(name=name).first()
        if definition is None:
            raise NotFound(f"There is no definition {name!r}; /api/v1/definitions/ lists them.")
        return Response(DefinitionSerializer(definition).data)
