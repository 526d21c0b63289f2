"""`slipstream search`: objects by name, id or masked key."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.search.schemas import SearchItemOut, SearchOut
from slipstream import options
from slipstream.commands.tables import Columns, model_list
from slipstream.session import open_session

_MORE = """

TEXT is the beginning of a word of a name, the first 8 characters of an id or more, the mask of an
API key, or the id of a webhook delivery. A complete API key is refused.

$ slipstream search iris
$ slipstream search 'sk-EuT64********vsQa1' --json | jq -r .items[].id
"""
_COLUMNS: Columns[SearchItemOut] = {
    "kind": "kind",
    "id": "id",
    "name": "title",
    "state": "state",
    "": "subtitle",
}


def register(application: typer.Typer, noun: str, text: str) -> None:
    """Add the command."""
    application.command(noun, help=text + _MORE)(search)


def search(
    text: Annotated[str, typer.Argument(help="What to look for.", metavar="TEXT")],
    *,
    limit: Annotated[int, typer.Option(min=1, max=50, help="Maximum number of rows.")] = (
        options.DEFAULT_LIMIT
    ),
    wide: options.Wide = False,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Find objects and print them, by kind."""
    with open_session(state, as_json=as_json, wide=wide) as session:
        found = session.run(session.services.search.find(session.profile_id, text, limit))
        out = SearchOut.of(found)
        session.terminal.show(out, model_list(out.items, _COLUMNS, empty="Nothing was found."))
