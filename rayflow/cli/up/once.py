"""A program of the instance that runs once and must succeed: preparing the database before the
parts start.
"""

from __future__ import annotations

from rayflow.cli.errors import CommandError
from rayflow.cli.up.logs import PartLog
from rayflow.cli.up.part import Part
from rayflow.cli.up.processes import RecordedSessions
from rayflow.cli.up.running import RunningPart, describe_exit

# A sentence that RayFlow itself wrote for the user; a last line without it is some library's.
OWN_PREFIX = "rayflow: "


async def run_once(part: Part, *, log: PartLog, sessions: RecordedSessions) -> None:
    """Run a program to its end.

    Raises:
        CommandError: it failed; the message is its last line, with the name of its log when needed.
    """
    running = await RunningPart.start(part, log=log, sessions=sessions)
    try:
        status = await running.wait()
    finally:
        await running.stop()
        log.close()
    if status != 0 and log.last.startswith(OWN_PREFIX):
        raise CommandError(log.last.removeprefix(OWN_PREFIX))
    if status != 0:
        raise CommandError(
            f"{part.name} failed ({describe_exit(status)}): {log.last or 'it said nothing'}; "
            f"see {log.path}"
        )
