"""Template tags of the console: icons, status badges, times, durations, share bars.

Everything returned as markup is built with `format_html`, so hostile ids and names are escaped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Literal

from django import template
from django.templatetags.static import static
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from workflows_app import workflow_columns
from workflows_app.workflow_columns import Column

register = template.Library()

NOTHING = "\N{EN DASH}"
LONGEST_LINE = 60
PICTURES = ("image/png", "image/jpeg", "image/gif")
BASE64 = re.compile(r"[A-Za-z0-9+/]{1,40000}={0,2}")

# One row per status: CSS class, icon, words.
STATUSES = {
    "PENDING": ("st-pending", "clock", "Pending"),
    "RUNNING": ("st-running", "spinner", "Running"),
    "SUCCESSFUL": ("st-successful", "check", "Successful"),
    "FAILED": ("st-failed", "cross", "Failed"),
    "RESUMABLE": ("st-resumable", "rotate", "Resumable"),
    "CANCELED": ("st-canceled", "stop", "Canceled"),
    # States of commands and bulk operations, shown with the same pieces.
    "QUEUED": ("st-pending", "clock", "Queued"),
    "SUCCEEDED": ("st-successful", "check", "Succeeded"),
    "ACTIVE": ("st-successful", "check", "Active"),
    "PAUSED": ("st-pending", "clock", "Paused"),
    "PARTIAL": ("st-resumable", "alert", "Partly done"),
    "ABORTED": ("st-canceled", "stop", "Aborted"),
    "WAITING": ("st-pending", "clock", "Waiting"),
    "SENT": ("st-running", "spinner", "Sent"),
    "DONE": ("st-successful", "check", "Done"),
    "SKIPPED": ("st-canceled", "stop", "Skipped"),
}
UNKNOWN = ("st-canceled", "help", "Unknown")
# Order of the segments in a share bar: what is settled first, what is left last.
SHARES = ("successful", "failed", "canceled", "running")


@register.simple_tag
def icon(name: str, extra: str = "") -> SafeString:
    """An icon of the sprite; decorative, so text must stand beside it or a label on its parent."""
    return format_html(
        '<svg class="icon {}" aria-hidden="true"><use href="{}#{}"></use></svg>',
        extra,
        static("img/icons.svg"),
        name,
    )


@register.simple_tag
def status_badge(status: str, extra: str = "") -> SafeString:
    """A status as icon and word; never by colour alone."""
    css, symbol, words = STATUSES.get(str(status).upper(), UNKNOWN)
    spin = "icon-spin" if symbol == "spinner" else ""
    return format_html(
        '<span class="badge {} {}">{}{}</span>', css, extra, icon(symbol, spin), words
    )


@register.filter
def status_class(status: str) -> str:
    """The CSS class that carries a status's colours."""
    return STATUSES.get(str(status).upper(), UNKNOWN)[0]


@register.filter
def status_words(status: str) -> str:
    """A status as people write it."""
    return STATUSES.get(str(status).upper(), UNKNOWN)[2]


@register.filter
def when(moment: datetime | None) -> SafeString | str:
    """A point in time, as distance from now; the browser keeps it right and knows the zone."""
    if moment is None:
        return NOTHING
    utc = moment.astimezone(UTC)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        utc.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        f"{utc:%Y-%m-%d %H:%M:%S} UTC",
        relative((datetime.now(UTC) - utc).total_seconds()),
    )


def relative(seconds: float) -> str:
    """How long ago, as the browser will say it too; negative when the moment lies ahead."""
    amount = int(abs(seconds))
    if amount < 5:
        return "just now"
    units = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
    size, unit = next(pair for pair in units if amount >= pair[0])
    words = f"{amount // size} {unit}"
    return f"in {words}" if seconds < 0 else f"{words} ago"


@register.filter
def when_exact(moment: datetime | None) -> SafeString | str:
    """A point in time to the second, for facts and records rather than for scanning a list."""
    if moment is None:
        return NOTHING
    utc = moment.astimezone(UTC)
    return format_html(
        '<time datetime="{}" title="{}" data-exact>{}</time>',
        utc.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        f"{utc:%Y-%m-%d %H:%M:%S.%f} UTC",
        f"{utc:%Y-%m-%d %H:%M:%S} UTC",
    )


@register.filter
def cell(value: Any) -> str:
    """A value of a table's preview: floats without the noise of their last digits."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return "" if value is None else str(value)


@register.filter
def is_number(value: Any) -> bool:
    """Whether a table cell is to be aligned as a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


@register.filter
def duration(milliseconds: float | Literal[""] | None) -> str:
    """A length of time in at most two units: ``420 ms``, ``3.2 s``, ``4 min 10 s``.

    What a template does not find is an empty string.
    """
    if milliseconds is None or milliseconds == "":
        return NOTHING
    seconds = max(0.0, milliseconds) / 1000
    if seconds < 1:
        return f"{max(0, round(milliseconds))} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, unit, smaller, smaller_unit in (
        (86_400, "d", 3_600, "h"),
        (3_600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // smaller
            return (
                f"{whole // size} {unit} {rest} {smaller_unit}"
                if rest
                else f"{whole // size} {unit}"
            )
    return f"{whole} s"


@register.filter
def change(milliseconds: float) -> str:
    """A difference of two lengths of time: ``+3.2 s``, ``-420 ms``."""
    sign = "\N{MINUS SIGN}" if milliseconds < 0 else "+"
    return sign + duration(abs(milliseconds))


@register.filter
def seconds(number: float | None) -> str:
    """A length of time given in seconds: ``30.0 s``, ``10 min``, ``1 d``."""
    return NOTHING if number is None else duration(number * 1000)


@register.simple_tag
def elapsed(subject: Any) -> SafeString | str:
    """How long a workflow, task or attempt took, or has been taking (counted on by the browser)."""
    started, finished = subject.started_at, subject.finished_at
    known = getattr(subject, "duration_ms", None)
    if known is not None:
        return duration(known)
    if started is None:
        return NOTHING
    if finished is not None:
        return duration((finished - started).total_seconds() * 1000)
    since = started.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    running = (datetime.now(UTC) - started).total_seconds() * 1000
    return format_html('<span class="num" data-since="{}">{}</span>', since, duration(running))


@register.simple_tag
def share_bar(counts: Any, extra: str = "") -> SafeString:
    """Tasks by status as one bar. `counts` has ``total`` and one number per status."""
    values = {name: int(_member(counts, name) or 0) for name in (*SHARES, "pending", "total")}
    total = values["total"] or sum(values[name] for name in (*SHARES, "pending"))
    segments, start = [], 0.0
    for name in SHARES:
        width = 100 * values[name] / total if total else 0
        if width:
            segments.append((f"{start:.3f}", f"{width:.3f}", name))
            start += width
    label = ", ".join(f"{values[name]} {name}" for name in (*SHARES, "pending") if values[name])
    return format_html(
        '<svg class="bar {}" role="img" aria-label="{}" preserveAspectRatio="none">{}</svg>',
        extra,
        f"{label or 'no tasks yet'} of {total}",
        format_html_join(
            "",
            '<rect class="st-{2}" x="{0}%" width="{1}%" height="100%"></rect>',
            segments,
        ),
    )


def _member(subject: Any, name: str) -> Any:
    if isinstance(subject, dict):
        return subject.get(name)
    return getattr(subject, f"tasks_{name}", None)


@register.filter
def pretty_json(value: Any) -> str:
    """JSON for people: indented, but a short list of plain values stays on one line."""
    try:
        return _pretty(value, "")
    except RecursionError:
        return "nested too deeply to be shown"


def _pretty(value: Any, indent: str) -> str:
    deeper = indent + "  "
    if isinstance(value, dict) and value:
        rows = [
            f"{deeper}{_plain(str(key))}: {_pretty(each, deeper)}" for key, each in value.items()
        ]
        return "{\n" + ",\n".join(rows) + f"\n{indent}}}"
    if isinstance(value, list) and value:
        line = f"[{', '.join(map(_plain, value))}]"
        if len(line) <= LONGEST_LINE and not any(isinstance(each, dict | list) for each in value):
            return line
        return "[\n" + ",\n".join(deeper + _pretty(each, deeper) for each in value) + f"\n{indent}]"
    return _plain(value)


def _plain(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


@register.filter
def initials(name: str) -> str:
    """The first letter of an account's name, for its avatar."""
    return (str(name) or "?")[:1]


@register.filter
def at(mapping: Any, key: Any) -> Any:
    """``mapping[key]``, or nothing: templates cannot look up a variable key."""
    return mapping.get(key) if hasattr(mapping, "get") else None


@register.filter
def split_words(text: str) -> list[str]:
    """The words of a constant, to loop over."""
    return text.split()


@register.simple_tag
def status_icon(status: str) -> SafeString:
    """The icon of a status alone; its word must stand beside it."""
    return icon(STATUSES.get(str(status).upper(), UNKNOWN)[1])


@register.filter
def slot(row: Any, index: int) -> Any:
    """``row[index]``, or nothing when the row is shorter."""
    return row[index] if isinstance(row, list) and index < len(row) else None


@register.simple_tag
def usual_columns(without: str = "") -> list[Column]:
    """The columns of a list of workflows that nobody has chosen columns for."""
    return workflow_columns.of(name for name in workflow_columns.USUAL if name != without)


@register.filter
def has_column(columns: Iterable[Column], name: str) -> bool:
    """Whether a list shows the column of this name."""
    return any(column.name == name for column in columns)


@register.filter
def tag_query(name: str, value: str) -> str:
    """The query that finds workflows with the same tag."""
    return f"tag.{name}:{json.dumps(value, ensure_ascii=False)}"


@register.simple_tag
def sort_head(column: Column, filters: Any) -> SafeString:
    """A column's head; where a list can be sorted by it, a link that does so, or turns the order round."""
    if not column.sort:
        return format_html('<th scope="col">{}</th>', column.title)
    is_up, is_down = filters.sort == column.sort, filters.sort == f"-{column.sort}"
    order = "ascending" if is_up else "descending" if is_down else "none"
    following = column.sort if is_down else f"-{column.sort}"
    return format_html(
        '<th scope="col" aria-sort="{}"><a class="sort" href="{}?{}">{}{}</a></th>',
        order,
        reverse("workflows"),
        filters.sorted_by(following),
        column.title,
        icon("up", "" if is_up else "icon-down") if is_up or is_down else "",
    )


@register.filter
def format_words(kind: str) -> str:
    """A kind of file as people write it."""
    return {"csv": "CSV", "ndjson": "NDJSON (JSON lines)", "parquet": "Parquet"}.get(kind, kind)


@register.filter
def amount(number: float) -> str:
    """A quantity without the noise of its last digits: ``4``, ``0.5``."""
    return f"{float(number):.2f}".rstrip("0").rstrip(".")


@register.simple_tag
def plot_assets() -> SafeString:
    """What a page with charts loads beside the rest."""
    return format_html(
        '<link rel="stylesheet" href="{}"><script src="{}" defer></script><script src="{}" type="module"></script>',
        static("vendor/uPlot.min.css"),
        static("vendor/uPlot.iife.min.js"),
        static("js/plot.js"),
    )


@register.filter
def picture_source(image: Any) -> str:
    """The address of a preview's picture; empty for what is none, whoever wrote it."""
    if not isinstance(image, dict) or image.get("type") not in PICTURES:
        return ""
    data = image.get("data")
    if not isinstance(data, str) or not BASE64.fullmatch(data):
        return ""
    return f"data:{image['type']};base64,{data}"
