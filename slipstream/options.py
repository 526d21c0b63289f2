"""Options that several commands share."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

State = Annotated[
    Path,
    typer.Option(
        "--state",
        envvar="SLIPSTREAM_STATE",
        metavar="DIR",
        help="Folder with all persistent state of the installation.",
        show_default=True,
        is_eager=True,  # `id_prefix` needs it
    ),
]
DEFAULT_STATE = Path(".slipstream")

Json = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Print one JSON document, for scripts.",
        is_eager=True,  # as for --state
    ),
]
Wide = Annotated[
    bool, typer.Option("--wide", help="All columns, whole, however wide the terminal is.")
]

Limit = Annotated[int, typer.Option(min=1, max=200, help="Maximum number of rows.")]
DEFAULT_LIMIT = 20
Cursor = Annotated[
    str | None, typer.Option(help="`next_cursor` of the previous page.", metavar="CURSOR")
]


def local_time(moment: datetime | None) -> datetime | None:
    """Return the time with its zone; without one it is local time."""
    return moment and moment.astimezone()


Since = Annotated[
    datetime | None, typer.Option("--from", help="Only at or after this time.", callback=local_time)
]
Before = Annotated[
    datetime | None, typer.Option("--to", help="Only before this time.", callback=local_time)
]

PerMinute = Annotated[int | None, typer.Option(help="Calls per minute; 0 removes the limit.")]
PerDay = Annotated[int | None, typer.Option(help="Calls per day; 0 removes the limit.")]
ConcurrentRuns = Annotated[int | None, typer.Option(help="Concurrent runs; 0 removes the limit.")]
PollsPerMinute = Annotated[
    int | None, typer.Option(help="Reads of runs per minute; 0 removes the limit.")
]


def limits_of(
    calls_per_minute: int | None,
    calls_per_day: int | None,
    concurrent_runs: int | None,
    polls_per_minute: int | None,
) -> dict[str, int | None] | None:
    """Return the limits of the command line for a PATCH, or None if none was given.

    0 resets a limit to the default.
    """
    given = {
        "calls_per_minute": calls_per_minute,
        "calls_per_day": calls_per_day,
        "concurrent_runs": concurrent_runs,
        "polls_per_minute": polls_per_minute,
    }
    limits = {name: value or None for name, value in given.items() if value is not None}
    return limits or None
