"""`slipstream runs`: what becomes of calls."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.runs.queries import RunFilter
from gateway.runs.run import NodeEvent, Run, RunStatus
from gateway.runs.schemas import RunPage, RunSummary
from gateway.storage.clock import now
from gateway.storage.paging import PageRequest
from slipstream import options
from slipstream.administration import RunAdmin
from slipstream.commands.run_views import (
    ending,
    node_document,
    node_line,
    run_document,
    run_table,
    run_views,
    tail_line,
)
from slipstream.commands.run_watch import follow, wait_for
from slipstream.failures import ExitStatus
from slipstream.session import CommandSession, open_session

commands = typer.Typer(no_args_is_help=True)

RunId = Annotated[str, typer.Argument(help="Id of the run.", metavar="ID")]
Timeout = Annotated[
    float | None, typer.Option(min=0, help="Seconds to wait at most. Default: for ever.")
]
Deployment = Annotated[str | None, typer.Option(help="Only runs of this deployment.", metavar="ID")]
Status = Annotated[RunStatus | None, typer.Option(help="Only runs that are like this.")]


def register(application: typer.Typer, noun: str, text: str) -> None:
    """Add the commands."""
    application.add_typer(commands, name=noun, help=text)


@commands.command("list")
def list_runs(
    *,
    deployment: Deployment = None,
    status: Status = None,
    version: Annotated[int | None, typer.Option(min=1, help="Only of this version.")] = None,
    since: options.Since = None,
    before: options.Before = None,
    limit: options.Limit = options.DEFAULT_LIMIT,
    cursor: options.Cursor = None,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """List runs, newest first, a page at a time.

    [dim]slipstream runs list --status failed --from 2026-01-31[/]
    [dim]slipstream runs list --deployment 0b9c… --json | jq -r .items[].flow_run_id[/]
    """
    with open_session(state, as_json=as_json) as session:
        which = RunFilter(
            profile_id=session.profile_id,
            deployment_id=deployment,
            status=status,
            version=version,
            since=since,
            before=before,
        )
        request = PageRequest(limit=limit, cursor=cursor)
        page = session.run(RunAdmin(session.workspace).page(which, request))
        none = "There are no such runs."
        session.terminal.show(RunPage.of(page), run_table(page.items, empty=none))
        session.terminal.note_next_page(page.next_cursor)


@commands.command("show")
def show(
    run_id: RunId, *, state: options.State = options.DEFAULT_STATE, as_json: options.Json = False
) -> None:
    """Show one run: how far it is, its nodes, its result or its error."""
    with open_session(state, as_json=as_json) as session:
        run = session.run(RunAdmin(session.workspace).find(run_id))
        session.terminal.show(run_document(run), *run_views(run))


@commands.command("wait")
def wait(
    run_id: RunId,
    *,
    timeout: Timeout = None,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Wait until a run has ended, and show it. Ctrl-C ends the waiting, not the run.

    Exit status: 0 completed; 1 failed, cancelled, or not ended in time.

    [dim]slipstream runs wait 0190… --timeout 60 && echo done[/]
    """
    with open_session(state, as_json=as_json) as session:
        _wait_and_show(session, run_id, timeout)


@commands.command("cancel")
def cancel(
    run_id: RunId, *, state: options.State = options.DEFAULT_STATE, as_json: options.Json = False
) -> None:
    """Have a run stopped. One that is running is over when the engine has really stopped."""
    with open_session(state, as_json=as_json) as session:
        run = session.run(RunAdmin(session.workspace).cancel(run_id))
        session.terminal.show(run_document(run), ending(run))
        if not run.ended:
            session.terminal.note(f"To see it end: slipstream runs wait {run.id}")


@commands.command("retry")
def retry(
    run_id: RunId,
    *,
    latest: Annotated[
        bool,
        typer.Option("--latest", help="Run the version that is live now, not the one that failed."),
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until the new run has ended, and show it.")
    ] = False,
    timeout: Timeout = None,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Run a failed run's input once more, as a new run. It begins where an installation runs.

    With --wait, the exit status is that of `slipstream runs wait`.

    [dim]slipstream runs retry 0190… --wait[/]
    """
    with open_session(state, as_json=as_json) as session:
        run = session.run(RunAdmin(session.workspace).retry(run_id, latest=latest))
        if wait:
            _wait_and_show(session, run.id, timeout)
        else:
            session.terminal.show(run_document(run), ending(run))


@commands.command("tail")
def tail(
    *,
    deployment: Deployment = None,
    status: Status = None,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Follow runs from now on: a line for each new one, and for each change of its state.

    Of a run that takes longer than half a second, each node that has ended is a line, too. Ends
    with Ctrl-C. Alone of all commands, it prints one JSON document a line with --json; those of
    nodes have `node_id` and `node` instead of `status`.

    [dim]slipstream runs tail[/]
    [dim]slipstream runs tail --status failed --json | jq -r .error.message[/]
    """
    with open_session(state, as_json=as_json) as session:
        which = RunFilter(
            profile_id=session.profile_id, deployment_id=deployment, status=status, since=now()
        )
        session.terminal.note("Runs from now on; Ctrl-C ends this.")
        follow(session, which, _Lines(session))


class _Lines:
    """What `tail` prints."""

    def __init__(self, session: CommandSession) -> None:
        self._terminal = session.terminal

    def state(self, run: Run) -> None:
        """See Teller."""
        self._terminal.show(RunSummary.of(run), tail_line(run))

    def node(self, run: Run, event: NodeEvent) -> None:
        """See Teller."""
        self._terminal.show(node_document(run, event), node_line(run, event))


def _wait_and_show(session: CommandSession, run_id: str, timeout: float | None) -> None:
    run = wait_for(session, run_id, timeout)
    session.terminal.show(run_document(run), ending(run), "", *run_views(run))
    if run.status is not RunStatus.COMPLETED:
        raise typer.Exit(ExitStatus.REFUSED)
