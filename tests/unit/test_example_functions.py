"""The parts of the examples that need no Ray: what they measure and how the service behaves."""

from __future__ import annotations

import ast
import json
import textwrap
from pathlib import Path

import pytest

from examples.code_census import census_of, is_wanted, measure
from examples.digits_training import digits_training, label, settings_grid
from examples.trip_booking import BookingService, ServiceUnavailableError, trip_booking
from rayflow.definitions import load
from rayflow.errors import InvalidParametersError


def test_the_examples_are_what_is_loaded_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAYFLOW_FLOWS", raising=False)
    loaded = load()
    assert sorted(loaded) == ["code_census", "digits_training", "trip_booking"]
    assert all(each.description and each.params_schema["properties"] for each in loaded.values())
    assert all("required" not in each.params_schema for each in loaded.values())


def test_the_default_grid_has_at_least_twelve_different_sets() -> None:
    defaults = digits_training.validate()
    grid = settings_grid(
        defaults["svc_c"], defaults["svc_gamma"], defaults["forest_trees"], defaults["forest_depth"]
    )
    assert len({label(settings) for settings in grid}) == len(grid) >= 12


def test_a_grid_has_no_repetitions_and_short_names() -> None:
    grid = settings_grid([1.0, 1.0], [0.001], [10], [4])
    assert [label(settings) for settings in grid] == [
        "svc_C1.0_gamma0.001",
        "forest_n_estimators10_max_depth4",
    ]


def test_an_empty_grid_is_refused_before_anything_runs() -> None:
    with pytest.raises(ValueError, match="grid is empty"):
        digits_training.build({"svc_c": [], "forest_trees": []})


def test_nesting_functions_classes_and_docstrings_are_counted() -> None:
    source = textwrap.dedent('''
        """Documented."""
        class Shop:
            """Documented."""
            def open(self):
                if self:
                    pass
                elif not self:
                    pass
                else:
                    with self:
                        pass
            def _hidden(self): ...
        async def later(): ...
    ''')
    assert measure(ast.parse(source)) == {
        "functions": 3,
        "classes": 1,
        "max_nesting": 4,
        "documentable": 4,
        "documented": 2,
    }


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"print 'old'\n", "SyntaxError: Missing parentheses"),
        (b"name = '\xff\xfe'\n", "invalid"),
        (b"# coding: klingon\n", "SyntaxError: unknown encoding"),
        (b"x = 1\0\n", "null bytes"),
        (b"x = " + b"(" * 5000 + b")" * 5000, "too many nested parentheses"),
    ],
)
def test_a_file_that_cannot_be_parsed_is_described_and_not_raised(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    (tmp_path / "bad.py").write_bytes(content)
    row = census_of(tmp_path, "bad.py")
    assert problem in row["problem"]
    assert row["package"] == "bad"


def test_a_file_that_vanished_is_described_and_not_raised(tmp_path: Path) -> None:
    assert "FileNotFoundError" in census_of(tmp_path, "pkg/gone.py")["problem"]


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("shop/cart.py", True),
        ("site-packages/numpy/core.py", False),
        ("shop/__pycache__/cart.py", False),
        ("shop/tests/cases.py", False),
        ("shop/test_cart.py", False),
        ("testing.py", True),
    ],
)
def test_tests_and_foreign_code_are_left_out(path: str, wanted: bool) -> None:
    assert is_wanted(Path(path), exclude_tests=True) is wanted


def _book_until_answered(service: BookingService, token: str) -> int:
    for attempt in range(1, 50):
        try:
            service.book(token, "hotel", 100)
        except ServiceUnavailableError:
            continue
        return attempt
    raise AssertionError("never answered")


def test_asking_the_service_again_with_the_same_token_books_once(tmp_path: Path) -> None:
    service = BookingService(str(tmp_path), failure_probability=0.9, seed=1)
    attempts = _book_until_answered(service, "token-1")
    assert attempts > 1
    assert len((tmp_path / "calls.jsonl").read_text().splitlines()) == attempts
    booked = [json.loads(path.read_text()) for path in (tmp_path / "bookings").glob("*.json")]
    assert [(each["token"], each["state"]) for each in booked] == [("token-1", "booked")]


def test_the_service_fails_the_same_way_for_the_same_seed(tmp_path: Path) -> None:
    counts = [
        _book_until_answered(BookingService(str(tmp_path / name), 0.8, seed=3), name)
        for name in ("a", "b")
    ]
    assert counts[0] == counts[1]


def test_what_is_canceled_or_sold_out_stays_so_whatever_is_asked_later(tmp_path: Path) -> None:
    service = BookingService(str(tmp_path), failure_probability=0, seed=1)
    service.book("token-1", "hotel", 100)
    canceled = service.cancel("token-1")
    assert (canceled.what, canceled.state) == ("hotel", "canceled")
    assert service.cancel("token-1") == canceled == service.book("token-1", "hotel", 100)
    assert service.cancel("token-2") == service.book("token-2", "flight", 100)
    assert service.book("token-3", "hotel", 100, sold_out=True).state == "sold out"


def test_a_return_before_the_departure_is_refused_before_anything_runs() -> None:
    with pytest.raises(ValueError, match="before the departure"):
        trip_booking.build({"depart": "2030-02-02", "back": "2030-02-01"})
    with pytest.raises(InvalidParametersError, match="/origin"):
        trip_booking.build({"origin": "Oakland"})
