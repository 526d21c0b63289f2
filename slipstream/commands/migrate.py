"""`slipstream migrate`: makes or migrates the tables, and nothing else."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from pydantic import BaseModel

from gateway.auth.pepper import accept_pepper
from gateway.fleet.processes import ProcessStore
from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.storage.migrate import migrate as migrate_tables
from gateway.storage.migrate import read_revision
from gateway.storage.schema_version import newest_revision
from slipstream import options
from slipstream.failures import UnusableError, exit_on_error
from slipstream.installation import find_installation
from slipstream.terminal import Terminal
from slipstream.workspace import database_errors, read_settings

_HELP = (
    "Everything that uses the database does so when it starts, so this is needed only where the "
    "role of the gateways may not alter tables: run it as one that may, before a new version "
    "starts. Others that migrate at the same moment wait.",
    "$ SLIPSTREAM_DATABASE_URL=postgresql://admin@host/name slipstream migrate",
)


class MigrationOut(BaseModel):
    """The revision of the tables."""

    before: str | None
    """Null: there were none."""
    after: str


def register(application: typer.Typer, noun: str, text: str) -> None:
    """Add the command."""
    application.command(noun, help="\n\n".join((text, *_HELP)))(migrate)


def migrate(
    *,
    accept: Annotated[
        bool,
        typer.Option(
            "--accept-pepper",
            help="The pepper that the database was used with is lost: go on with that of this "
            "machine. Every API key and session is unknown from then on.",
        ),
    ] = False,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Migrate the tables."""
    with exit_on_error(as_json=as_json):
        terminal = Terminal(as_json=as_json)
        settings = read_settings(state=state.absolute())
        if not settings.database_url:  # else: whatever runs here, as another role perhaps
            installation = find_installation(state)
            installation.check(any_version=True)
            settings = installation.settings
        url = settings.database
        before = asyncio.run(read_revision(url))
        with terminal.progress("Migrating the database"):
            asyncio.run(migrate_tables(url))
        if accept:
            asyncio.run(_accept_pepper(settings))
        after = newest_revision()
        if before == after:
            text = f"The tables are up to date, at revision {after}."
        elif before is None:
            text = f"The tables are made, at revision {after}."
        else:
            text = f"The tables are migrated from revision {before} to {after}."
        if accept:
            text += " The pepper of the database is that of this machine."
        terminal.show(MigrationOut(before=before, after=after), text)


async def _accept_pepper(settings: Settings) -> None:
    """Make the pepper of this machine that of the database, which no process may use meanwhile."""
    db = Database(settings.database)
    try:
        with database_errors():
            alive = sorted({row.host for row, alive in await ProcessStore(db).all() if alive})
            if alive:
                message = f"gateways or workers use the database on {', '.join(alive)}: stop them"
                raise UnusableError(f"--accept-pepper: {message}")
            await accept_pepper(db, settings.key_pepper, settings.state)
    finally:
        await db.close()
