"""`slipstream runs`: what becomes of calls."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from gateway.runs.filters import RunFilter
from gateway.runs.run import RunStatus
from gateway.storage.paging import PageRequest
from slipstream import options
from slipstream.commands.run_documents import run_document
from slipstream.commands.run_views import ending, run_table, run_views, tail_line
from slipstream.commands.run_watch import follow, wait_for
from slipstream.failures import ExitStatus
from slipstream.session import Session, open_session

commands = typer.Typer(no_args_is_help=True)

RunId = Annotated[str, typer.Argument(help="Id of the run.", metavar="ID")]
Timeout = Annotated[
    float | None, typer.Option(min=0, help="Seconds to wait at most. Default: for ever.")
]
Deployment = Annotated[
    str | None, typer.Option(help="Only runs of this deployment.", metavar="ID")
]
Status = Annotated[
    list[RunStatus] | None, typer.Option(help="Only runs like this; can be repeated.")
]


def register(application: typer.Typer, noun: str, text: str) -> None:
    """Add the commands."""
    application.add_typer(commands, name=noun, help=text)


@commands.command("list")
def list_runs(
    *,
    deployment: Deployment = None,
    status: Status = None,
    version: Annotated[int | None, typer.Option(min=1, help="Only of this version.")] = None,
    since: Annotated[
        datetime | None, typer.Option(help="Only runs made at this time or later.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many at most.")] = 20,
    cursor: Annotated[
        str | None, typer.Option(help="`next_cursor` of the page before.", metavar="CURSOR")
    ] = None,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """List runs, newest first.

    [dim]slipstream runs list --status failed --since 2026-01-31[/]
    [dim]slipstream runs list --deployment 0b9c… --json | jq -r .items[].flow_run_id[/]
    """
    with open_session(state, as_json=as_json) as session:
        wanted = RunFilter(
            deployment_id=deployment,
            statuses=tuple(status or ()),
            version=version,
            since=since.astimezone(UTC) if since else None,
        )
        request = PageRequest(limit=limit, cursor=cursor)
        page = session.run(session.services.runs.page(session.profile_id, request, wanted))
        items = [run_document(run) for run in page.items]
        session.terminal.show(
            {"items": items, "next_cursor": page.next_cursor},
            run_table(page.items, empty="There are no such runs."),
        )
        if page.next_cursor:
            session.terminal.note(f"There are more: --cursor {page.next_cursor}")


@commands.command("show")
def show(
    run_id: RunId, *, state: options.State = options.DEFAULT_STATE, as_json: options.Json = False
) -> None:
    """Show one run: how far it is, its nodes, its result or its error."""
    with open_session(state, as_json=as_json) as session:
        run = session.run(session.services.runs.get(session.profile_id, run_id))
        session.terminal.show(run_document(run), *run_views(run))


@commands.command("wait")
def wait(
    run_id: RunId,
    *,
    timeout: Timeout = None,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Wait until a run has ended, and show it. Ctrl-C stops the waiting, not the run.

    Exit status: 0 where it has completed; 1 where it has failed, was cancelled or has not ended
    in time.

    [dim]slipstream runs wait 0190… --timeout 60 && echo done[/]
    """
    with open_session(state, as_json=as_json) as session:
        _wait_and_show(session, run_id, timeout)


@commands.command("cancel")
def cancel(
    run_id: RunId, *, state: options.State = options.DEFAULT_STATE, as_json: options.Json = False
) -> None:
    """Ask for a run to be stopped. It is over when the engine has really stopped."""
    with open_session(state, as_json=as_json) as session:
        run = session.run(session.services.runs.cancel(session.profile_id, run_id))
        session.terminal.show(run_document(run), ending(run))
        if not run.ended:
            session.terminal.note(f"It is over within a second: slipstream runs wait {run.id}")


@commands.command("retry")
def retry(
    run_id: RunId,
    *,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until the new run has ended, and show it.")
    ] = False,
    timeout: Timeout = None,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Make a run that has failed again: a new one, with the same input.

    With --wait, the exit status is that of `slipstream runs wait`.

    [dim]slipstream runs retry 0190… --wait[/]
    """
    with open_session(state, as_json=as_json) as session:
        run = session.run(session.services.runs.retry(session.profile_id, run_id))
        if wait:
            _wait_and_show(session, run.id, timeout)
        else:
            session.terminal.show(run_document(run), f"Run {run.id} is queued.")


@commands.command("tail")
def tail(
    *,
    deployment: Deployment = None,
    status: Status = None,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Follow runs from now on: a line when one begins to exist and each time its state changes.

    Ends with Ctrl-C. --json prints one document a line.

    [dim]slipstream runs tail --status failed --json | jq -r .error.message[/]
    """
    with open_session(state, as_json=as_json) as session:
        wanted = RunFilter(
            deployment_id=deployment, statuses=tuple(status or ()), since=datetime.now(UTC)
        )
        session.terminal.note("Runs from now on; Ctrl-C ends this.")
        follow(
            session, wanted, lambda run: session.terminal.show(run_document(run), tail_line(run))
        )


def _wait_and_show(session: Session, run_id: str, timeout: float | None) -> None:
    run = wait_for(session, run_id, timeout)
    session.terminal.show(run_document(run), ending(run), "", *run_views(run))
    if run.status is not RunStatus.COMPLETED:
        raise typer.Exit(ExitStatus.REFUSED)
