"""What the tests of pages share: a signed-in client, counted statements, checked markup."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from typing import Any

from django.contrib.auth.models import User
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)>{{7*7}}'
VOID = {"area", "base", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"}


def signed_in(user: User) -> Client:
    """A browser in which `user` has signed in."""
    client = Client()
    client.force_login(user)
    return client


def text_of(response: Any) -> str:
    """The body of an answer as text."""
    assert isinstance(response, HttpResponse)
    return response.content.decode()


@contextmanager
def statements() -> Iterator[list[str]]:
    """The SQL statements run inside the block, without the bookkeeping of transactions."""
    found: list[str] = []
    with CaptureQueriesContext(connection) as captured:
        yield found
    found += [
        query["sql"]
        for query in captured.captured_queries
        if not query["sql"].startswith(("SAVEPOINT", "RELEASE", "BEGIN", "COMMIT"))
    ]


class Markup(HTMLParser):
    """Reads a page and keeps what the tests ask about."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.faults: list[str] = []
        self.feed(text)
        self.close()
        self.faults += [f"<{tag}> is never closed" for tag in self.open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if len(dict(attrs)) != len(attrs):
            self.faults.append(f"<{tag}> has an attribute twice: {attrs}")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open[-1] != tag:
            self.faults.append(f"</{tag}> closes {self.open[-1:] or 'nothing'}")
        if tag in self.open:
            while self.open.pop() != tag:
                pass

    def attributes(self, name: str) -> list[str]:
        """All values of one attribute, in the order of the page."""
        return [str(attrs[name]) for _, attrs in self.tags if attrs.get(name) is not None]


def check_markup(text: str) -> Markup:
    """A page that keeps the rules: well nested, unique ids, labels that hit, nothing inline."""
    page = Markup(text)
    ids = page.attributes("id")
    twice = {each for each in ids if ids.count(each) > 1}
    assert not page.faults, page.faults
    assert not twice, f"ids used twice: {twice}"
    targets = [
        (name, target)
        for name in ("for", "aria-labelledby", "aria-describedby", "form")
        for value in page.attributes(name)
        for target in value.split()
    ]
    missing = [(name, target) for name, target in targets if target not in ids]
    assert not missing, f"references to nothing: {missing}"
    for tag, attrs in page.tags:
        inline = [name for name in attrs if name == "style" or name.startswith("on")]
        assert not inline, f"<{tag}> has inline {inline}"
        is_data = attrs.get("type") == "application/json"
        assert tag != "script" or attrs.get("src") or is_data, "an inline script"
        assert tag != "style", "an inline style sheet"
    foreign = [
        value
        for name in ("src", "href", "action")
        for value in page.attributes(name)
        if value.startswith(("http:", "https:", "//", "javascript:"))
    ]
    assert not foreign, f"addresses of other hosts: {foreign}"
    return page
