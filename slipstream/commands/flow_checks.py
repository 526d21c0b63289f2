"""`slipstream flows validate`, `check` and `run`: try a flow before it is saved or deployed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Annotated, Any

import orjson
import typer
from rich.console import RenderableType
from rich.text import Text

from gateway.drafts.flow_check import Severity
from gateway.drafts.schemas import DraftCheckOut, DraftIn, ModelUseOut, ProblemOut
from gateway.execution.draft_run import DraftRunner
from gateway.flows.result import FlowResult
from gateway.flows.schemas import FlowIn, FlowWarningOut
from gateway.flows.service import Draft
from gateway.search.ids import IdRange
from gateway.storage.tables import Flow
from slipstream import options
from slipstream.commands.json_arguments import file_content, json_argument, json_object
from slipstream.commands.run_views import node_table, output_text
from slipstream.commands.tables import Columns, elapsed, model_table
from slipstream.failures import ExitStatus, UnusableError
from slipstream.id_prefix import find_id
from slipstream.session import CommandSession, open_session, validated
from slipstream.state_location import Absent
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
    commands.command("check")(check)
    commands.command("run")(run)


def read_flow(content: bytes) -> Draft:
    """Return the flow of a document; raise INVALID_JSON or VALIDATION_FAILED."""
    return validated(FlowIn, **json_object(content, "the file")).draft()


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

    $ slipstream flows validate flow.json
    $ slipstream flows validate flow.json --deploy --json | jq -r '.error.errors[].pointer'
    """
    with open_session(state, as_json=as_json, absent=Absent.TEMPORARY) as session:
        draft = read_flow(file.read())
        flows = session.services.flows
        found = session.run(flows.check(session.profile_id, draft, to_deploy=deploy))
        warnings = [FlowWarningOut.model_validate(warning) for warning in found]
        document = {"valid": True, "warnings": [each.model_dump() for each in warnings]}
        session.terminal.show(document, f"The flow '{draft.name}' is valid.")
        session.terminal.warn(f"{warning.pointer}: {warning.message}" for warning in warnings)


def check(
    file: FlowFile, *, state: options.State = options.DEFAULT_STATE, as_json: options.Json = False
) -> None:
    """List all problems of a flow, its models, and whether it can be deployed as fast.

    Errors keep the flow from being saved, warnings from being deployed. Exit status: 0 no errors;
    1 errors.

    $ slipstream flows check flow.json
    $ slipstream flows check flow.json --json | jq '.problems[] | {pointer, detail}'
    """
    with open_session(state, as_json=as_json, absent=Absent.TEMPORARY) as session:
        draft = validated(DraftIn, **json_object(file.read(), "the file"))
        checks = session.services.draft_checks
        found = session.run(checks.check(session.profile_id, draft.definition))
        out = DraftCheckOut.of(found)
        session.terminal.show(
            out,
            model_table(out.problems, _PROBLEMS, empty="The flow has no problems."),
            model_table(out.models, _MODELS, empty="The flow calls no model."),
            f"It can{'' if out.fast.possible else 'not'} be deployed as fast"
            + (f": {out.fast.reason}" if out.fast.reason else "."),
        )
        if any(problem.severity is Severity.ERROR for problem in out.problems):
            raise typer.Exit(ExitStatus.REFUSED)


_PROBLEMS: Columns[ProblemOut] = {
    "severity": "severity",
    "pointer": "pointer",
    "code": "code",
    "detail": "detail",
}
_MODELS: Columns[ModelUseOut] = {
    "node": "node_id",
    "model": "model",
    "version": "version",
    "now": "resolved",
}


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

    $ slipstream flows run flow.json --input '{"x": [[5.1, 3.5, 1.4, 0.2]]}'
    $ slipstream flows run 0b9c… --input @input.json --json | jq .node_outputs
    """
    with open_session(state, as_json=as_json, absent=Absent.TEMPORARY) as session:
        definition = _definition(session, flow)
        input_data = None if data is None else json_argument(data, "--input")
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
    if IdRange.of(flow) is not None:
        flow_id = session.run(find_id(session.workspace, Flow, flow))
        saved = session.run(session.services.flows.get(session.profile_id, flow_id))
        definition: Mapping[str, Any] = saved.definition
        return definition
    return read_flow(file_content(flow, "FLOW|FILE")).definition


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
