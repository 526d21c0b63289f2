"""The options of limits, the same for keys and for deployments."""

from __future__ import annotations

from typing import Annotated

import typer

PerMinute = Annotated[int | None, typer.Option(help="Calls in any minute; 0: the default.")]
PerDay = Annotated[int | None, typer.Option(help="Calls in any day; 0: the default.")]
ConcurrentRuns = Annotated[int | None, typer.Option(help="Runs at a time; 0: the default.")]
PollsPerMinute = Annotated[
    int | None, typer.Option(help="Reads of runs in any minute; 0: the default.")
]


def limits_of(
    calls_per_minute: int | None,
    calls_per_day: int | None,
    concurrent_runs: int | None,
    polls_per_minute: int | None,
) -> dict[str, int | None] | None:
    """Return the limits on the command line as a PATCH takes them; None: there are none.

    0 takes one back.
    """
    given = {
        "calls_per_minute": calls_per_minute,
        "calls_per_day": calls_per_day,
        "concurrent_runs": concurrent_runs,
        "polls_per_minute": polls_per_minute,
    }
    limits = {name: value or None for name, value in given.items() if value is not None}
    return limits or None
