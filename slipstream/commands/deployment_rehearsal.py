"""`slipstream deployments rehearse`: the draft on recorded inputs, beside what was answered."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.status import Status

from gateway.rehearsals.schemas import (
    DEFAULT_RUNS,
    MAX_RUNS,
    RehearsalOut,
    RehearsalState,
    RehearseIn,
)
from slipstream import options
from slipstream.administration import RunAdmin
from slipstream.commands.deployment_versions import DeploymentId
from slipstream.failures import ExitStatus
from slipstream.session import CommandSession, open_session, validated
from slipstream.terminal import table


def rehearse(
    deployment_id: DeploymentId,
    *,
    last: Annotated[
        int,
        typer.Option(min=1, max=MAX_RUNS, help="Use the inputs of so many finished runs."),
    ] = DEFAULT_RUNS,
    allow_requests: Annotated[
        bool,
        typer.Option(
            "--allow-requests", help="Let nodes call other systems again, once for each run."
        ),
    ] = False,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Run the draft on the inputs of the last runs, and compare what it answers. Redeploys nothing.

    A running gateway executes the tests, which are kept for a day, send no webhook and count in no
    usage. The exit status is 1 if an answer differs, or the draft has none.

    $ slipstream deployments rehearse 0b9c… --last 50
    """
    with open_session(state, as_json=as_json) as session:
        asked = validated(RehearseIn, last=last, allow_requests=allow_requests)
        out = _conduct(session, deployment_id, asked)
        session.terminal.show(out, *_views(out))
        complete = out.state is RehearsalState.COMPLETED
        if not complete or out.differing or out.failed:
            raise typer.Exit(ExitStatus.REFUSED)


def cancel_rehearsal(
    deployment_id: DeploymentId,
    *,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """End the rehearsal of a deployment, and show what it has compared. Ctrl-C ends your own.

    $ slipstream deployments cancel-rehearsal 0b9c…
    """
    with open_session(state, as_json=as_json) as session:
        out = session.run(RunAdmin(session.workspace).cancel_rehearsal(deployment_id))
        if out is None:
            session.terminal.show({"items": []}, "No rehearsal is kept.")
        else:
            session.terminal.show(out, *_views(out))


def _conduct(session: CommandSession, deployment_id: str, asked: RehearseIn) -> RehearsalOut:
    console = session.terminal.stderr
    first = "Rehearsing the draft"
    if not console.is_terminal:
        console.print(first)
    with console.status(first) if console.is_terminal else nullcontext() as status:
        return session.run(
            RunAdmin(session.workspace).rehearse(
                deployment_id,
                asked.last,
                allow_requests=asked.allow_requests,
                on_progress=_progress_of(status),
            )
        )


def _progress_of(status: Status | None) -> Callable[[RehearsalOut], None]:
    def show(out: RehearsalOut) -> None:
        if status is not None:
            status.update(f"Rehearsing the draft: {_counts(out)}")

    return show


def _views(out: RehearsalOut) -> list[RenderableType]:
    if not out.total:
        return ["There is nothing to rehearse: no finished run has kept its input."]
    views: list[RenderableType] = [_counts(out)]
    if out.state is RehearsalState.STOPPED:
        views.append("It was cancelled, or stopped with its process: the rest is not compared.")
    if out.different:
        rows = [(one.run_id, one.pointer or "/", one.live, one.draft) for one in out.different]
        views += ["", table(("run", "where", "live", "draft"), rows, empty="")]
    if out.failed:
        failures = [(one.run_id, one.code, one.detail) for one in out.failed]
        views += ["", table(("run", "failed", "detail"), failures, empty="")]
    return views


def _counts(out: RehearsalOut) -> str:
    return (
        f"{out.done} of {out.total} runs: {out.equal} equal, {out.differing} different, "
        f"{len(out.failed)} failed"
    )
