"""The columns that the list of workflows can show, beside the id, which always stands first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Column:
    """A column's name, its title, and the sort key of :data:`workflows_app.queries.SORTS` if it has one."""

    name: str
    title: str
    sort: str = ""
    fields: tuple[str, ...] = ()


COLUMNS = {
    column.name: column
    for column in (
        Column("status", "Status"),
        Column("definition", "Definition"),
        Column("progress", "Tasks"),
        Column("duration", "Duration", "duration"),
        Column("created", "Created", "created"),
        Column("started", "Started", "started"),
        Column("finished", "Finished", "finished"),
        Column("created_by", "Started by"),
        Column("tags", "Tags", fields=("tags",)),
        Column("error", "Error under the id"),
    )
}
USUAL = ("status", "definition", "progress", "duration", "created", "error")


def chosen(text: str) -> list[Column]:
    """The columns named by a text like ``status.tags``, in the order of :data:`COLUMNS`; none: the usual."""
    return of(text.split(".")) or of(USUAL)


def of(names: Iterable[str]) -> list[Column]:
    """The columns of these names, in the order of :data:`COLUMNS`; unknown names say nothing."""
    wanted = set(names)
    return [column for name, column in COLUMNS.items() if name in wanted]


def as_text(columns: Iterable[Column]) -> str:
    """What :func:`chosen` reads; empty for the usual ones."""
    names = [column.name for column in columns]
    return "" if set(names) == set(USUAL) else ".".join(names)
