"""Conditions that each kind of database can answer from an index."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from django.db import connection, connections
from django.db.models import F, FloatField, Func, Q, TextField, Value
from django.db.models.lookups import Exact

from workflows_app.models import Definition

MOST_DEFINITIONS = 200
TRIGRAM = 3  # characters
_LAST = chr(0x10FFFF)


def starts_with(field: str, prefix: str) -> Q:
    """Texts that begin with ``prefix``, letter case included."""
    if connection.vendor == "sqlite":  # whose LIKE uses no index
        return Q(**{f"{field}__gte": prefix, f"{field}__lt": prefix + _LAST})
    return Q(**{f"{field}__startswith": prefix})


def of_definitions(*, starting: str = "", containing: str = "") -> Q:
    """Workflows of the definitions in the catalogue whose names fit."""
    names = Definition.objects.order_by("name").values_list("name", flat=True)
    if starting:
        names = names.filter(name__startswith=starting)
    if containing:
        names = names.filter(name__icontains=containing)
    return Q(definition__in=list(names[:MOST_DEFINITIONS]))


def word(text: str) -> Q:
    """Free text: a part of an id, or of a definition's name.

    A PostgreSQL without trigrams finds only the beginning of an id; so does a text too short for them.
    """
    text = text.removesuffix("*")
    if connection.vendor == "sqlite" or (len(text) >= TRIGRAM and has_trigrams(connection.alias)):
        return Q(workflow_id__icontains=text) | of_definitions(containing=text)
    return starts_with("workflow_id", text) | of_definitions(containing=text)


@cache
def has_trigrams(alias: str) -> bool:
    """Whether the migrations could make the index ``wf_id_trigrams``."""
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_indexes WHERE indexname = 'wf_id_trigrams'")
        return cursor.fetchone() is not None


def json_is(field: str, name: str, text: str, *, is_text: bool) -> Q:
    """Whether a JSON object has a text, or the number or truth value that it stands for, as ``name``."""
    wanted: list[Any] = [text]
    if not is_text and (plain := _plain(text)) is not None:
        wanted.append(plain)
    found = Q()
    for value in wanted:
        found |= _json_equals(field, name, value)
    return found


def _json_equals(field: str, name: str, value: Any) -> Q:
    if connection.vendor == "postgresql":
        return Q(**{f"{field}__contains": {name: value}})
    kind = TextField() if isinstance(value, str) else FloatField()
    path = Value(f"$.{json.dumps(name)}")
    read = Func(F(field), path, function="JSON_EXTRACT", output_field=kind)
    return Q(Exact(read, Value(value, output_field=kind)))


def _plain(text: str) -> bool | float | int | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, bool | int | float) else None
