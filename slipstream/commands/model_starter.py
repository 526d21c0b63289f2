"""`slipstream models starter`: the flow around a model that one starts with."""

from __future__ import annotations

from typing import Annotated

import orjson
import typer

from slipstream import options
from slipstream.session import open_session


def add_to(commands: typer.Typer) -> None:
    """Add the command."""
    commands.command("starter")(starter)


def starter(
    name: Annotated[str, typer.Argument(help="Name of the model.", metavar="NAME")],
    *,
    version: Annotated[
        str, typer.Option("--version", help="A number, a label or `latest`.")
    ] = "latest",
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Print a flow that calls a model, with test data that the model accepts.

    With --json also the schema of its input.

    $ slipstream models starter churn | slipstream flows create -
    """
    # numpy, which no other command on models needs
    from gateway.deployments.starter import starter_of  # noqa: PLC0415
    from gateway.deployments.starter_schemas import StarterOut  # noqa: PLC0415

    with open_session(state, as_json=as_json) as session:
        pin = session.run(session.services.models.pin(None, name, version))
        made = StarterOut.of(starter_of(pin, version))
        flow = {"name": name, **made.flow.model_dump()}
        if as_json:
            session.terminal.show(made)
        else:
            document = orjson.dumps(flow, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
            session.terminal.show_code(document.decode(), "json")
