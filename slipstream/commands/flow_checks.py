"""`slipstream flows validate` and `run`: try a flow before it is saved or deployed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import RenderableType
from rich.text import Text

from gateway.errors import GatewayError
from gateway.execution.draft_run import DraftRunner
from gateway.flows.result import FlowResult
from gateway.flows.schemas import FlowIn, FlowWarningOut
from gateway.flows.service import Draft
from gateway.ids import is_id
from protos.errors import ErrorCode
from slipstream import options
from slipstream.commands.run_views import node_table, output_text
from slipstream.commands.tables import elapsed
from slipstream.failures import ExitStatus, UnusableError
from slipstream.session import CommandSession, open_session, validated
from transport import TlsError

FlowFile = Annotated[
    typer.FileBinaryRead,
    typer.Argument(help="The flow as JSON; - reads it from stdin.", metavar="FILE"),
]
_TIMEOUT_SECONDS = 60.0
_MAX_TIMEOUT_SECONDS = 86_400.0


def add_to(commands: typer.Typer) -> None:
    """Add the commands that try a flow."""
    commands.command("validate")(validate)
    commands.command("run")(run)


def read_flow(content: bytes) -> Draft:
    """Return the flow of a document; raise INVALID_JSON or VALIDATION_FAILED."""
    return validated(FlowIn, **_object(content, "the file")).draft()


def validate(
    file: FlowFile,
    *,
    deploy: Annotated[
        bool,
        typer.Option(
            "--deploy",
            help="Check what a deployment needs, too: all nodes connected, all models known.",
        ),
    ] = False,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Check a flow as the server does when it is saved, and save nothing.

    All errors are listed, each with its JSON pointer. Exit status: 0 valid; 1 invalid.

    [dim]slipstream flows validate flow.json[/]
    [dim]slipstream flows validate flow.json --deploy --json | jq -r '.error.errors[].pointer'[/]
    """
    with open_session(state, as_json=as_json) as session:
        draft = read_flow(file.read())
        flows = session.services.flows
        found = session.run(flows.check(session.profile_id, draft, to_deploy=deploy))
        warnings = [FlowWarningOut.model_validate(warning) for warning in found]
        document = {"valid": True, "warnings": [each.model_dump() for each in warnings]}
        session.terminal.show(document, f"The flow '{draft.name}' is valid.")
        session.terminal.warn(f"{warning.pointer}: {warning.message}" for warning in warnings)


def run(
    flow: Annotated[
        str,
        typer.Argument(
            help="Id of a saved flow, or a file; - reads it from stdin.", metavar="FLOW|FILE"
        ),
    ],
    *,
    data: Annotated[
        str | None,
        typer.Option(
            "--input", help="The input_data. Default: the flow's test_data.", metavar="JSON|@FILE"
        ),
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=0.1, max=_MAX_TIMEOUT_SECONDS, help="Seconds that it may take.")
    ] = _TIMEOUT_SECONDS,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Run a flow's draft once, without deploying it, and show the output of each node.

    It runs in this process, with the engine and the checks of deployments: HTTP nodes send their
    requests, Python nodes run in a child of it, and models are called where they are served. No run
    is recorded. Exit status: 0 completed; 1 failed or refused.

    [dim]slipstream flows run flow.json --input '{"x": [[5.1, 3.5, 1.4, 0.2]]}'[/]
    [dim]slipstream flows run 0b9c… --input @input.json --json | jq .node_outputs[/]
    """
    with open_session(state, as_json=as_json) as session:
        definition = _definition(session, flow)
        input_data = None if data is None else _input_data(data)
        workspace, services = session.workspace, session.services
        runner = DraftRunner(
            workspace.settings, workspace.db, services.models, services.flow_processes
        )
        work = runner.run(session.profile_id, definition, input_data, timeout_seconds=timeout)
        try:
            result = session.run(work)
        except TlsError as error:
            raise UnusableError(str(error)) from None
        session.terminal.show(asdict(result), *_views(result))
        if result.error is not None:
            raise typer.Exit(ExitStatus.REFUSED)


def _definition(session: CommandSession, flow: str) -> Mapping[str, Any]:
    if is_id(flow):
        saved = session.run(session.services.flows.get(session.profile_id, flow))
        definition: Mapping[str, Any] = saved.definition
        return definition
    return read_flow(_content(flow, "FLOW|FILE")).definition


def _input_data(data: str) -> dict[str, Any]:
    content = _content(data[1:], "--input") if data.startswith("@") else data.encode()
    return _object(content, "--input")


def _content(path: str, source: str) -> bytes:
    """Return a file's content, or exit as for every invalid command line."""
    if path == "-":
        return typer.get_binary_stream("stdin").read()
    try:
        return Path(path).read_bytes()
    except OSError as error:
        message = f"{source}: '{path}' cannot be read: {error.strerror}"
        raise typer.BadParameter(message) from None


def _object(content: bytes, source: str) -> dict[str, Any]:
    """Return the JSON object that is in `content`; Any: JSON."""
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        message = f"{source} is not valid JSON: {error}"
        raise GatewayError(ErrorCode.INVALID_JSON, message) from None
    if not isinstance(document, dict):
        message = f"{source}: expected a JSON object, got {type(document).__name__}"
        raise GatewayError(ErrorCode.VALIDATION_FAILED, message)
    return document


def _views(result: FlowResult) -> Iterator[RenderableType]:
    style = "green" if result.error is None else "red"
    line = Text.assemble("The flow ", (result.status, style))
    line.append(f" after {elapsed(result.duration_seconds)}")
    if result.error is not None:
        where = f" (node '{result.error.node_id}')" if result.error.node_id else ""
        line.append(f": {result.error.code}{where}: {result.error.message}")
    yield line
    yield ""
    yield node_table(result.node_outputs)
    if result.output_data is not None:
        yield ""
        yield output_text(orjson.dumps(result.output_data))
