"""`slipstream flows test`: a run of a draft, which a gateway executes."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.drafts.flow_test_schemas import (
    DEFAULT_TIMEOUT_SECONDS,
    MAX_TIMEOUT_SECONDS,
    FlowTestIn,
)
from slipstream import options
from slipstream.administration import RunAdmin
from slipstream.commands.flow_checks import FlowFile
from slipstream.commands.json_arguments import json_argument, json_object
from slipstream.commands.run_views import result_line, run_document
from slipstream.commands.run_watch import wait_and_show
from slipstream.session import open_session, validated


def run_test(
    file: FlowFile,
    *,
    data: Annotated[
        str | None,
        typer.Option(
            "--input", help="The input_data. Default: the flow's test_data.", metavar="JSON|@FILE"
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(help="Run only this node, and those that it needs.", metavar="NODE"),
    ] = None,
    only: Annotated[
        str | None,
        typer.Option(help="Run only this node, with pinned outputs.", metavar="NODE"),
    ] = None,
    pins: Annotated[
        str | None,
        typer.Option(
            "--pins",
            help="Outputs by node, in place of running these nodes.",
            metavar="JSON|@FILE",
        ),
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=0.1, max=MAX_TIMEOUT_SECONDS, help="Seconds that it may take.")
    ] = DEFAULT_TIMEOUT_SECONDS,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait until it has finished, and show it.")
    ] = True,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Run a flow's draft as deployments run, without deploying it. A running gateway starts it.

    The run is kept for a day, sends no webhook and counts in no usage. With --wait, the exit status
    is that of `slipstream runs wait`. Without a gateway: `slipstream flows run`.

    $ slipstream flows test flow.json --input '{"x": 20}'
    $ slipstream flows test flow.json --only output --pins '{"model": {"label": [1]}}'
    """
    with open_session(state, as_json=as_json) as session:
        body = validated(
            FlowTestIn,
            **{
                **json_object(file.read(), "the file"),
                "flow_id": None,
                "input_data": None if data is None else json_argument(data, "--input"),
                "until": until,
                "only": only,
                "pins": {} if pins is None else json_argument(pins, "--pins"),
                "timeout_seconds": timeout,
            },
        )
        run = session.run(RunAdmin(session.workspace).test(body.test()))
        if wait:
            wait_and_show(session, run.id, None)
        else:
            session.terminal.show(run_document(run), result_line(run))
