"""The options that many commands have: where they act, how they answer, and which rows."""

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
        help="Folder with everything that this installation remembers.",
        show_default=True,
    ),
]
DEFAULT_STATE = Path(".slipstream")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, for scripts.")]

Limit = Annotated[int, typer.Option(min=1, max=200, help="How many at most.")]
DEFAULT_LIMIT = 20
Cursor = Annotated[
    str | None, typer.Option(help="`next_cursor` of the page before.", metavar="CURSOR")
]


def local_time(moment: datetime | None) -> datetime | None:
    """Return the time with its zone: what the command line says without one is local."""
    return moment and moment.astimezone()


Since = Annotated[
    datetime | None, typer.Option("--from", help="Only from this time on.", callback=local_time)
]
Before = Annotated[
    datetime | None, typer.Option("--to", help="Only before this time.", callback=local_time)
]
