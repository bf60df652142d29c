"""Addresses: nothing is open to strangers, and every id can stand in one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from workflows_app.converters import EscapedSegments, SegmentConverter, decode_path

# What a stranger may see: whether the service is up, and the way in.
PUBLIC = ("/login/", "/logout/", "/admin/login/", "/admin/logout/", "/healthz", "/readyz")
SAMPLES = {"uuid": "6f6f1b4e-0000-4000-8000-000000000000", "int": "1", "path": "x"}
ODD_IDS = [
    "a/b",
    "..",
    ".",
    "ü",
    "a;b",
    ";2F",
    "%2F",
    "a%2Fb",
    "?",
    "#",
    " ",
    "//",
    "x" * 300,
    "a.b",
]


def addresses(patterns: list[Any] | None = None, prefix: str = "/") -> Iterator[str]:
    """An example of every address of the site."""
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        route = str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from addresses(pattern.url_patterns, prefix + _filled(pattern))
        elif isinstance(pattern, URLPattern) and not route.startswith(("^", "(")):
            yield prefix + _filled(pattern)


def _filled(pattern: URLPattern | URLResolver) -> str:
    route = str(pattern.pattern)
    while "<" in route:
        before, _, rest = route.partition("<")
        converter, _, after = rest.partition(">")
        route = before + SAMPLES.get(converter.partition(":")[0], "x") + after
    return route


@pytest.mark.django_db
def test_every_address_needs_a_login() -> None:
    client = Client(raise_request_exception=False)
    found = sorted(set(addresses()))
    assert len(found) > 40
    open_doors = [
        (address, answer.status_code)
        for address in found
        if address not in PUBLIC and not _is_refused(answer := client.get(address))
    ]
    assert open_doors == []


def _is_refused(answer: Any) -> bool:
    if answer.status_code == 302:
        return "/login/" in answer["Location"]
    # 404: no such object's page is reached without a login either; 405: another method is meant.
    return answer.status_code in (401, 403, 405)


@pytest.mark.parametrize("odd", ODD_IDS)
def test_any_id_survives_the_way_through_reverse_and_the_router(odd: str) -> None:
    converter = SegmentConverter()
    segment = converter.to_url(odd)
    assert "/" not in segment
    assert segment not in {".", ".."}
    # What Django's reverse() makes of it, what a browser sends, what the server decodes.
    sent = quote(segment, safe="!$&'()*+,;=/~:@")
    routed = decode_path(f"/workflows/{sent}/".encode())
    assert converter.to_python(routed.removeprefix("/workflows/").removesuffix("/")) == odd


@pytest.mark.parametrize("odd", [odd for odd in ODD_IDS if odd not in {".", ".."}])
def test_a_client_that_percent_encodes_means_the_same_id(odd: str) -> None:
    routed = decode_path(f"/workflows/{quote(odd, safe='')}/".encode())
    segment = routed.removeprefix("/workflows/").removesuffix("/")
    assert SegmentConverter().to_python(segment) == odd


def test_other_addresses_are_left_as_the_server_decoded_them() -> None:
    seen: list[str] = []

    async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
        seen.append(scope["path"])

    async def nothing(*_: Any) -> Any:
        return {}

    for raw in (b"/static/a%2Fb", b"/workflows/a%2Fb/", b"/workflows/plain/"):
        scope = {"path": "/decoded", "raw_path": raw}
        asyncio.run(EscapedSegments(application)(scope, nothing, nothing))
    assert seen == ["/decoded", "/workflows/a;2Fb/", "/decoded"]
