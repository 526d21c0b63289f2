"""The options that every command about rows and files has."""

from __future__ import annotations

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
