"""`slipstream migrate`: makes or migrates the tables, and nothing else."""

from __future__ import annotations

import asyncio

import typer
from pydantic import BaseModel

from gateway.storage.migrate import migrate as migrate_tables
from gateway.storage.migrate import read_revision
from gateway.storage.schema_version import newest_revision
from slipstream import options
from slipstream.failures import exit_on_error
from slipstream.installation import find_installation
from slipstream.terminal import Terminal
from slipstream.workspace import read_settings

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


def migrate(*, state: options.State = options.DEFAULT_STATE, as_json: options.Json = False) -> None:
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
        after = newest_revision()
        if before == after:
            text = f"The tables are up to date, at revision {after}."
        elif before is None:
            text = f"The tables are made, at revision {after}."
        else:
            text = f"The tables are migrated from revision {before} to {after}."
        terminal.show(MigrationOut(before=before, after=after), text)
