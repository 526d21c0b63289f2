"""`slipstream open`: the page of the console that shows something, in the browser."""

from __future__ import annotations

import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated
from urllib.parse import quote

import typer
from rich.text import Text

from gateway.errors import GatewayError
from gateway.storage.run_tables import RunRow
from gateway.storage.tables import Deployment, Flow
from protos.errors import ErrorCode
from slipstream import options
from slipstream.failures import RefusedError, UnusableError
from slipstream.id_prefix import find_existing
from slipstream.session import CommandSession, open_session
from slipstream.supervisor.running_supervisor import running_supervisor

_MORE = """

NAME is that of a deployment, a flow or a model, or the id of a deployment, a flow or a run: what
comes first in this order is opened. Ids may be shortened to 8 characters.

$ slipstream open
$ slipstream open churn
$ slipstream open 0190f3a2 --print
"""
_PAGES = ((Deployment, "deployments"), (Flow, "flows"))


def register(application: typer.Typer, noun: str, text: str) -> None:
    """Add the command."""
    application.command(noun, help=text + _MORE)(open_page)


def open_page(
    name: Annotated[
        str | None,
        typer.Argument(help="What to show. Default: the console's first page.", metavar="[NAME]"),
    ] = None,
    *,
    only_print: Annotated[
        bool, typer.Option("--print", help="Print the address, and open nothing.")
    ] = False,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Open a page of the console in the browser, and print its address."""
    with open_session(state, as_json=as_json) as session:
        page = "" if name is None else session.run(_page_of(session, name))
        address = f"{_console(session)}{page}"
        if not only_print and not webbrowser.open(address):
            message = f"no browser could be started here: open {address} in one"
            raise RefusedError("no_browser", message)
        session.terminal.show({"url": address}, Text(address))


def _console(session: CommandSession) -> str:
    """Return the address of the console, with a slash at its end.

    Raises:
        UnusableError: nothing runs, and no public address is set.
    """
    settings = session.workspace.settings
    if not settings.public_base_url and running_supervisor(settings.state.absolute()) is None:
        message = (
            f"the address of the console is not known: nothing runs on {settings.state}. Start it "
            "with `slipstream up`, or set SLIPSTREAM_PUBLIC_BASE_URL to the address of a gateway"
        )
        raise UnusableError(message)
    return f"{session.public_url}/console/"


async def _page_of(session: CommandSession, name: str) -> str:
    """Return the path of the page, below the console's.

    Raises:
        GatewayError: NOT_FOUND, or VALIDATION_FAILED if several things have the name.
    """
    workspace = session.workspace
    for table, page in _PAGES:
        with _no_such_thing():
            return f"{page}/{await find_existing(workspace, table, name)}"
    with _no_such_thing():
        manifest = await session.services.models.manifest(None, name)
        return f"models/{quote(name, safe='')}/versions/{manifest.version}"
    with _no_such_thing():
        return f"runs/{await find_existing(workspace, RunRow, name)}"
    message = (
        f"unknown '{name}': expected the name of a deployment, a flow or a model, or 8 characters "
        "or more of the id of a deployment, a flow or a run; `slipstream search` finds them"
    )
    raise GatewayError(ErrorCode.NOT_FOUND, message)


@contextmanager
def _no_such_thing() -> Iterator[None]:
    """Go on where there is none."""
    try:
        yield
    except GatewayError as error:
        if error.code not in (ErrorCode.NOT_FOUND, ErrorCode.INVALID_REQUEST):
            raise
