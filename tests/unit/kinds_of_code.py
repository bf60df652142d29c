"""Classes of every kind, as a program may have them; copied to where a test wants it."""

from __future__ import annotations

import abc
import dataclasses
import enum
import functools
import threading
import typing
from typing import Any

from pydantic import BaseModel, field_validator

T = typing.TypeVar("T")


class Model(BaseModel):
    x: int
    inner: Inner | None = None

    @field_validator("x")
    @classmethod
    def one_more(cls, value: int) -> int:
        return value + 1


class Inner(BaseModel):
    names: list[str] = []


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Data:
    number: int
    names: list[str] = dataclasses.field(default_factory=list)


class Color(enum.Enum):
    RED = 1

    @property
    def nice(self) -> str:
        return self.name.lower()


class Flags(enum.Flag):
    A = enum.auto()
    B = enum.auto()


class Pair(typing.NamedTuple):
    left: int = 1


class Box(typing.Generic[T]):
    def __init__(self, value: T) -> None:
        self.value = value


class IntBox(Box[int]):
    pass


class Base(abc.ABC):
    @abc.abstractmethod
    def name(self) -> str: ...


class Impl(Base):
    def name(self) -> str:
        return "impl of " + super().__self_class__.__name__


class Meta(type):
    def __new__(cls, name: str, bases: Any, contents: Any) -> Any:
        return super().__new__(cls, name, bases, {**contents, "made": True})


class Special(metaclass=Meta):
    lock_type = threading.Lock

    @functools.cached_property
    def cached(self) -> int:
        return 5

    @functools.lru_cache  # noqa: B019 - one of the kinds
    def remembered(self) -> int:
        return 6

    @functools.singledispatchmethod
    def kind(self, value: Any) -> str:
        return "any"

    @kind.register
    def _(self, value: int) -> str:
        return "int"


@functools.singledispatch
def size(value: Any) -> int:
    return 1


@size.register
def _(value: list) -> int:  # type: ignore[type-arg]
    return sum(size(each) for each in value)


class CodedError(ValueError):
    def __init__(self, code: int) -> None:
        super().__init__(f"code {code}")
        self.code = code

    def __reduce__(self) -> Any:
        return CodedError, (self.code,)


def values() -> list[Any]:
    """One of each."""
    return [
        Model(x=1, inner=Inner(names=["a"])),
        Data(1),
        Color.RED,
        Flags.A | Flags.B,
        Pair(3),
        IntBox(4),
        Impl(),
        Special(),
        CodedError(5),
        size,
    ]


def check(given: list[Any]) -> str:
    """Whether the given values are what they were, seen by stored code of the same module."""
    model, data, color, flags, pair, box, impl, special, error, sizes = given
    assert isinstance(model, Model)
    assert model.model_dump() == {"x": 2, "inner": {"names": ["a"]}}
    assert isinstance(Model(x=5, inner={"names": ["b"]}).inner, Inner)  # type: ignore[arg-type]
    assert data == Data(1)
    assert color is Color.RED
    assert color.nice == "red"
    assert flags == Flags.A | Flags.B
    assert isinstance(pair, Pair)
    assert pair == Pair(3)
    assert (type(box), box.value) == (IntBox, 4)
    assert (isinstance(impl, Base), impl.name()) == (True, "impl of Impl")
    assert (special.made, special.cached, special.remembered()) == (True, 5, 6)
    assert (special.kind(1), special.kind("")) == ("int", "any")
    assert sizes([1, [2, 3]]) == 3
    try:
        raise error
    except CodedError as caught:
        return f"all well, code {caught.code}"
