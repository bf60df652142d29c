"""What a page makes a browser load, in bytes after gzip: the budgets of the console's specification."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.staticfiles import finders

from tests.web import factories
from tests.web.pages import check_markup, signed_in, text_of

pytestmark = pytest.mark.django_db

KIB = 1024
IMPORT = re.compile(r"""^import\s.*?["'](\./[\w-]+\.js)["']""", re.M | re.S)
RUN = "/workflows/trip-lisbon-0412/"


def file_of(address: str) -> Path:
    found = finders.find(address.removeprefix(settings.STATIC_URL).split("?")[0])
    assert isinstance(found, str), address
    return Path(found)


def with_imports(file: Path, seen: set[Path]) -> set[Path]:
    """A module and all that it imports."""
    if file not in seen:
        seen.add(file)
        for name in IMPORT.findall(file.read_text("utf-8")) if "vendor" not in file.parts else ():
            with_imports((file.parent / name).resolve(), seen)
    return seen


def weight(files: set[Path]) -> float:
    """Kibibytes after compression."""
    return sum(len(gzip.compress(file.read_bytes(), 6)) for file in files) / KIB


def loaded(text: str) -> tuple[set[Path], set[Path]]:
    """The scripts and the style sheets of a page."""
    scripts: set[Path] = set()
    sheets: set[Path] = set()
    for tag, attrs in check_markup(text).tags:
        if tag == "script" and attrs.get("src"):
            with_imports(file_of(str(attrs["src"])), scripts)
        if tag == "link" and attrs.get("rel") == "stylesheet":
            sheets.add(file_of(str(attrs["href"])))
        for address in str(attrs.get("data-libraries") or "").split():
            scripts.add(file_of(address))
    return scripts, sheets


@pytest.mark.parametrize(
    ("address", "script_budget"),
    [
        ("/", 85), ("/workflows/", 60), (RUN, 60), (f"{RUN}tasks/", 60), (f"{RUN}graph/", 60),
        (f"{RUN}timeline/", 60), (f"{RUN}logs/", 60), ("/launch/?definition=digits_training", 60),
        ("/cluster/", 85), (f"{RUN}graph/?view=all", 140),
    ],
)  # fmt: skip
def test_a_page_keeps_to_its_budget_of_bytes(
    address: str, script_budget: int, administrator: User
) -> None:
    factories.showcase()
    scripts, sheets = loaded(text_of(signed_in(administrator).get(address)))
    assert weight(scripts) <= script_budget, {
        file.name: round(weight({file}), 1) for file in scripts
    }
    assert weight(sheets) <= 25, {file.name: round(weight({file}), 1) for file in sheets}


def test_pages_of_lists_and_details_are_small(administrator: User) -> None:
    factories.showcase()
    client = signed_in(administrator)
    for address in ("/", "/workflows/", RUN, f"{RUN}tasks/", "/cluster/"):
        size = len(gzip.compress(client.get(address).content, 6)) / KIB
        assert size <= 40, (address, size)
