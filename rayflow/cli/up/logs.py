"""What the parts say: every line into the part's log file, the telling ones, prefixed, to the
terminal.
"""

from __future__ import annotations

import asyncio
import logging
import logging.handlers
import re
import sys
import time
from pathlib import Path
from typing import TextIO

MAX_BYTES = 10 * 1024 * 1024
BACKUPS = 2
CHUNK = 64 * 1024
NAME_WIDTH = 8
COLOURS = (36, 35, 34, 33, 32, 96, 95, 94)
RED, RESET = "\x1b[31m", "\x1b[0m"
# The part's own time stamp; the prefix already has one.
STAMP = re.compile(r"^\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:[,.]\d+)?\s+")
ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class Terminal:
    """The terminal of `rayflow up`. A reader that went away (`rayflow up | head`) never stops the
    instance.
    """

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._coloured = self._out.isatty()
        self._colours: dict[str, int] = {}

    def say(self, message: str) -> None:
        """A line of the instance itself."""
        self._print(message)

    def problem(self, message: str) -> None:
        """A line of the instance about something that went wrong."""
        self._print(f"{RED}{message}{RESET}" if self._coloured else message)

    def part_line(self, part: str, line: str) -> None:
        """A line that a part wrote, with the time and the part's name in front."""
        prefix = f"{time.strftime('%H:%M:%S')} {part:<{NAME_WIDTH}} |"
        if self._coloured:
            colour = self._colours.setdefault(part, COLOURS[len(self._colours) % len(COLOURS)])
            prefix = f"\x1b[{colour}m{prefix}{RESET}"
        self._print(f"{prefix} {line}")

    def _print(self, text: str) -> None:
        try:
            print(text, file=self._out, flush=True)
        except (BrokenPipeError, ValueError):
            self._out = open("/dev/null", "w")  # noqa: SIM115, PTH123 - lives as long as the process


class PartLog:
    """The log file of one part, rotated, and its way to the terminal."""

    def __init__(
        self, name: str, terminal: Terminal, *, folder: Path, shown: re.Pattern[str] | None = None
    ) -> None:
        """Open the log.

        Args:
            name: the part; also the file's name.
            terminal: where telling lines go as well.
            folder: the folder of the log files.
            shown: which lines are telling; None means all.
        """
        self.path = folder / f"{name}.log"
        self._name = name
        self._terminal = terminal
        self._shown = shown
        self.last = ""
        self._in_traceback = False
        self._file = logging.handlers.RotatingFileHandler(
            self.path, maxBytes=MAX_BYTES, backupCount=BACKUPS, encoding="utf-8", errors="replace"
        )

    def line(self, text: str) -> None:
        """Take one line that the part wrote."""
        plain = ESCAPES.sub("", text)
        self._file.emit(logging.LogRecord(self._name, logging.INFO, "", 0, plain, None, None))
        self.last = STAMP.sub("", plain).strip() or self.last
        if self._is_telling(plain):
            self._terminal.part_line(self._name, STAMP.sub("", plain))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _is_telling(self, line: str) -> bool:
        # Of a traceback only the last line, which names the error: the frames are in the file.
        if self._in_traceback and (line.startswith((" ", "\t")) or not line.strip()):
            return False
        self._in_traceback = line.lstrip(" |+").startswith("Traceback (most recent call last)")
        if self._in_traceback or not line.strip():
            return False
        return self._shown is None or self._shown.search(line) is not None


async def read_lines(stream: asyncio.StreamReader, take: PartLog, *, seen: LineWatch) -> None:
    """Hand every line of a part's output on until it ends. Lines of any length: a part never dies
    of a long one.
    """
    rest = b""
    while chunk := await stream.read(CHUNK):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            _take(line, take, seen)
        if len(rest) > MAX_BYTES:
            _take(rest, take, seen)
            rest = b""
    if rest:
        _take(rest, take, seen)


def _take(line: bytes, log: PartLog, seen: LineWatch) -> None:
    text = line.decode("utf-8", errors="replace").rstrip("\r")
    log.line(text)
    seen.look_at(text)


class LineWatch:
    """Remembers whether a part wrote the line by which it says that it is ready."""

    def __init__(self, awaited: str | None) -> None:
        self._awaited = awaited
        self.found = asyncio.Event()

    def look_at(self, line: str) -> None:
        """Compare one line."""
        if self._awaited is not None and self._awaited in line:
            self.found.set()
