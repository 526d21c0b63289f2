"""`slipstream models logs`: the last lines of the log of an inference server."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.text import Text

from gateway.errors import GatewayError
from gateway.fleet.schemas import LogLineOut, LogOut, LogQuery
from gateway.fleet.server_logs import MAX_LINES
from gateway.storage.tables import InferenceServer
from protos.errors import ErrorCode
from slipstream import options
from slipstream.session import CommandSession, open_session

_SECONDS = 1.0
"""Between two looks, with `--follow`."""
_STYLES = {"error": "red", "critical": "red", "warning": "yellow"}


def add_to(commands: typer.Typer) -> None:
    """Add the command."""
    commands.command("logs")(logs)


def logs(
    name: Annotated[str, typer.Argument(help="Name of the model.", metavar="NAME")],
    *,
    version: Annotated[
        str, typer.Option("--version", help="A number, a label or `latest`.")
    ] = "latest",
    tail: Annotated[
        int, typer.Option(min=1, max=MAX_LINES, help="How many of the last lines.")
    ] = MAX_LINES,
    follow: Annotated[bool, typer.Option("--follow", help="Go on with new lines.")] = False,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Show the last lines of the log of a version's inference server, also of one that has ended.

    $ slipstream models logs churn --version 3 --follow
    """
    if follow and as_json:
        raise typer.BadParameter("give either --follow or --json")
    with open_session(state, as_json=as_json) as session:
        server = _server(session, name, session.services.store.resolve(name, version))
        shown = _read(session, server, LogQuery(tail=tail))
        session.terminal.show(shown, *map(_line, shown.lines))
        while follow:
            time.sleep(_SECONDS)
            shown = _read(session, server, LogQuery(follow=shown.next))
            session.terminal.show(shown, *map(_line, shown.lines))


def _server(session: CommandSession, name: str, version: int) -> InferenceServer:
    for server in session.run(session.services.fleet.store.all()):
        if (server.model, server.version) == (name, version):
            return server
    message = f"version {version} of '{name}' has no inference server: start one with"
    raise GatewayError(ErrorCode.NOT_FOUND, f"{message} `slipstream models serve {name}`")


def _read(session: CommandSession, server: InferenceServer, asked: LogQuery) -> LogOut:
    replicas = session.run(session.services.fleet.logs(None, server.id))
    return LogOut.of(replicas, asked.tail, asked.after())


def _line(line: LogLineOut) -> Text:
    at = line.at.astimezone().strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    return Text(f"{at}  {line.text}", _STYLES.get(line.level, ""))
