"""The error of the command line: one clear line and the exit status that goes with it."""

from __future__ import annotations


class CommandError(Exception):
    """What went wrong and what to do next, in one line, printed before a non-zero exit."""

    def __init__(self, message: str, *, exit_code: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.exit_code = exit_code
