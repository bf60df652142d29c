"""What ``list_all`` takes as a filter."""

from __future__ import annotations

from rayflow.core.records import WorkflowStatus


def statuses_of(chosen: object) -> set[str] | None:
    """The names of the statuses that ``chosen`` lets through; None is all.

    Raises:
        TypeError: ``chosen`` is neither a status, nor its name, nor a set of them.
        ValueError: a name that is no status, or NONE.
    """
    if chosen is None:
        return None
    if isinstance(chosen, str):
        chosen = {chosen}
    if not isinstance(chosen, set) or not all(isinstance(name, str) for name in chosen):
        raise TypeError(
            "status_filter is a status, its name, or a set of them, not "
            f"{type(chosen).__name__}: {chosen!r}."
        )
    return {_checked(str(name)) for name in chosen}


def _checked(name: str) -> str:
    known = [s.value for s in WorkflowStatus if s is not WorkflowStatus.NONE]
    if name not in known:
        raise ValueError(f"'{name}' is no workflow status; those are {', '.join(known)}.")
    return name
