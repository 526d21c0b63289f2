"""`slipstream backup`: copies what must be saved together."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from slipstream import options
from slipstream.backup import back_up
from slipstream.failures import exit_on_error
from slipstream.installation import find_installation
from slipstream.state_location import locate_existing
from slipstream.terminal import Terminal

_HELP = (
    "The backup is a state folder: `slipstream doctor --state FOLDER` checks it, and a copy of it "
    "is what `slipstream up --state` starts from. SQLite's database is in it, as it was at one "
    "moment; copy one on PostgreSQL with pg_dump, before. See docs/operations.md.",
    "$ slipstream backup /var/backups/slipstream/monday",
)
_MEBIBYTE = 2**20


def register(application: typer.Typer, noun: str, text: str) -> None:
    """Add the command."""
    application.command(noun, help="\n\n".join((text, *_HELP)), no_args_is_help=True)(backup)


def backup(
    folder: Annotated[Path, typer.Argument(help="Folder to create.", metavar="FOLDER")],
    *,
    no_pepper: Annotated[
        bool,
        typer.Option("--no-pepper", help="Leave out the pepper, which you keep elsewhere."),
    ] = False,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Make the backup."""
    with exit_on_error(as_json=as_json):
        terminal = Terminal(as_json=as_json)
        installation = find_installation(locate_existing(state, terminal))
        installation.check(any_version=True)
        for note in installation.notes():
            terminal.note(note)
        with terminal.progress("Copying database, models and pepper"):
            made = back_up(installation.settings, folder.absolute(), with_pepper=not no_pepper)
        contents = ["the database"] if made.database else []
        contents += [f"{made.models} model versions"]
        contents += ["the pepper"] if made.pepper else []
        size = made.size_bytes / _MEBIBYTE
        text = f"{made.folder} contains {', '.join(contents)}: {size:.1f} MiB"
        terminal.show(asdict(made), text)
        terminal.warn(f"not in it: {each}" for each in made.missing)
