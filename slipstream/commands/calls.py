"""`slipstream calls`: explain."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import RenderableType

from gateway.calls.explanation import explain as explanation_of
from gateway.calls.schemas import ExplanationOut
from gateway.calls.service import FoundCall
from gateway.errors import GatewayError
from gateway.ids import is_id
from gateway.runs.timeline import MAX_SPANS, SpanRequest
from gateway.search.ids import IdRange
from gateway.storage.run_tables import RunRow
from slipstream import options
from slipstream.administration import RunAdmin
from slipstream.commands.run_timeline import bar
from slipstream.commands.tables import elapsed
from slipstream.id_prefix import find_id
from slipstream.session import CommandSession, open_session
from slipstream.terminal import facts, table

commands = typer.Typer(no_args_is_help=True)


def register(application: typer.Typer, noun: str, text: str) -> None:
    """Add the commands."""
    application.add_typer(commands, name=noun, help=text)


@commands.callback()
def _calls() -> None:
    """Keep `explain` a command of its own, although there is no other."""


@commands.command("explain")
def explain(
    call: Annotated[
        str,
        typer.Argument(help="Request id of the call, or id of its run.", metavar="REQUEST_OR_RUN"),
    ],
    *,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Show where the time of a call went, and what to do about it.

    The request id is the header X-Request-ID of its answer. Every run can be explained; of the
    others, those that failed or took 1 s, for an hour.

    $ slipstream calls explain req_0190…
    """
    with open_session(state, as_json=as_json) as session:
        runs = RunAdmin(session.workspace)
        found = session.run(_find(session, runs, call))
        timeline = None
        if found.run is not None and found.run.profile_id == session.profile_id:
            request = SpanRequest(limit=MAX_SPANS)
            timeline = session.run(runs.timeline(found.run.id, request))
        shown = ExplanationOut.of(found, explanation_of(found, timeline))
        session.terminal.show(shown, *_views(shown))


async def _find(session: CommandSession, runs: RunAdmin, name: str) -> FoundCall:
    """Return the call; a run's id may be shortened, as lists show it."""
    try:
        return await runs.call(name)
    except GatewayError:
        if is_id(name.removeprefix("req_")) or IdRange.of(name) is None:
            raise
    return await runs.call(await find_id(session.workspace, RunRow, name))


def _views(shown: ExplanationOut) -> Iterator[RenderableType]:
    call = shown.call
    known = {
        "request_id": call.request_id,
        "run": call.flow_run_id,
        "deployment": call.deployment_name or call.deployment_id,
        "mode": call.execution_mode,
        "began": call.began_at,
        "took": elapsed(shown.duration_seconds),
        "status": call.status,
        "error": call.code,
        "trace": call.trace_id,
        "gateway": call.gateway,
    }
    yield facts(**{name: value for name, value in known.items() if value is not None})
    if shown.parts:
        rows = [
            (
                part.name,
                elapsed(part.duration_seconds),
                f"{100 * part.share:.0f} %",
                bar(part.begins_seconds, part.duration_seconds, shown.duration_seconds),
            )
            for part in shown.parts
        ]
        yield ""
        yield table(("part", "took", "share", ""), rows, empty="")
    yield ""
    yield from shown.findings
