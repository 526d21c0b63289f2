"""`slipstream info`: what an installation says of itself."""

from __future__ import annotations

import typer

from gateway.accounts.setup import is_setup_required
from gateway.console.schemas import InfoOut
from gateway.console.user_storage import UserStorageService
from slipstream import options
from slipstream.commands.tables import model_fields
from slipstream.session import open_session

_MORE = """

$ slipstream info --json | jq .limits
"""


def register(application: typer.Typer, noun: str, text: str) -> None:
    """Add the command."""
    application.command(noun, help=text + _MORE)(info)


def info(*, state: options.State = options.DEFAULT_STATE, as_json: options.Json = False) -> None:
    """Show the version, the public addresses, limits, defaults, and what you have stored."""
    with open_session(state, as_json=as_json) as session:
        setup_required = session.run(is_setup_required(session.workspace.db))
        stored = session.run(UserStorageService(session.workspace.db).of(session.profile_id))
        found = InfoOut.of(session.workspace.settings, stored, setup_required=setup_required)
        session.terminal.show(found, model_fields(found))
