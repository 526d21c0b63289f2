"""`slipstream runs`: list, show, timeline, wait, cancel, retry, curl, delete, tail."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import Annotated

import orjson
import typer

from gateway.deployments.settings import ExecutionMode
from gateway.errors import GatewayError
from gateway.examples.choices import ExampleChoices, KeySource, Language
from gateway.runs.labels import check_label
from gateway.runs.queries import RunFilter
from gateway.runs.run import RunStatus
from gateway.runs.schemas import RunPage, RunSummary, TimelineOut
from gateway.runs.timeline import MAX_SPANS, SpanRequest
from gateway.storage.clock import now
from gateway.storage.paging import PageRequest
from gateway.storage.run_tables import RunRow
from gateway.storage.tables import ApiKey, Deployment, Flow
from protos.errors import ErrorCode
from slipstream import options
from slipstream.administration import RunAdmin
from slipstream.commands.deployment_code import Key, show_code
from slipstream.commands.run_timeline import timeline_view
from slipstream.commands.run_views import (
    COLUMNS,
    node_document,
    node_line,
    result_line,
    run_document,
    run_views,
    tail_line,
)
from slipstream.commands.run_watch import follow, wait_and_show
from slipstream.commands.tables import model_list
from slipstream.id_prefix import whole_id
from slipstream.session import open_session

commands = typer.Typer(no_args_is_help=True)

RunId = Annotated[
    str, typer.Argument(help="Id of the run.", metavar="ID", callback=whole_id(RunRow))
]
Timeout = Annotated[
    float | None, typer.Option(min=0, help="Seconds to wait at most. Default: no limit.")
]
OfDeployment = Annotated[
    str | None,
    typer.Option(
        "--deployment",
        help="Only runs of this deployment.",
        metavar="ID",
        callback=whole_id(Deployment),
    ),
]
Status = Annotated[RunStatus | None, typer.Option(help="Only runs with this status.")]


def _label(given: str) -> tuple[str, str]:
    key, _, value = given.partition("=")
    return key, value


def _read_labels(given: list[str] | None) -> list[str] | None:
    """Check the labels to select by, as REST does."""
    for each in given or ():
        if "=" not in each:
            raise typer.BadParameter(f"expected KEY=VALUE, such as order=42, got '{each}'")
        try:
            check_label(*_label(each))
        except GatewayError as error:
            raise typer.BadParameter(error.message) from None
    return given


def register(application: typer.Typer, noun: str, text: str) -> None:
    """Add the commands."""
    application.add_typer(commands, name=noun, help=text)


@commands.command("list")
def list_runs(
    *,
    deployment: OfDeployment = None,
    flow: Annotated[
        str | None,
        typer.Option(
            help="Only runs of this flow, and tests of its drafts.",
            metavar="ID",
            callback=whole_id(Flow),
        ),
    ] = None,
    status: Status = None,
    version: Annotated[int | None, typer.Option(min=1, help="Only runs of this version.")] = None,
    key: Annotated[
        str | None,
        typer.Option(
            help="Only runs that this API key started.", metavar="ID", callback=whole_id(ApiKey)
        ),
    ] = None,
    code: Annotated[str | None, typer.Option(help="Only runs with this error code.")] = None,
    request_id: Annotated[
        str | None, typer.Option(help="Only runs of requests with this id (X-Request-ID).")
    ] = None,
    mode: Annotated[ExecutionMode | None, typer.Option(help="Only runs of this mode.")] = None,
    min_seconds: Annotated[
        float | None, typer.Option(min=0, help="Only runs that took at least so long.")
    ] = None,
    metadata: Annotated[
        list[str] | None,
        typer.Option(
            help="Only runs with this label. Repeat it for several, all of which must match.",
            metavar="KEY=VALUE",
            callback=_read_labels,
        ),
    ] = None,
    test: Annotated[
        bool | None,
        typer.Option(
            "--tests/--no-tests", help="Only tests of drafts, or none.", show_default=False
        ),
    ] = None,
    since: options.Since = None,
    before: options.Before = None,
    limit: options.Limit = options.DEFAULT_LIMIT,
    cursor: options.Cursor = None,
    wide: options.Wide = False,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """List runs, newest first, a page at a time.

    Where most runs do not match, a page ends after 10,000 of them and may be empty: the next one
    goes on.

    $ slipstream runs list --status failed --from 2026-01-31
    $ slipstream runs list --code flow_failed --min-seconds 5
    $ slipstream runs list --metadata order=42
    $ slipstream runs list --deployment 0b9c… --json | jq -r .items[].flow_run_id
    """
    with open_session(state, as_json=as_json, wide=wide) as session:
        which = RunFilter(
            profile_id=session.profile_id,
            deployment_id=deployment,
            flow_id=flow,
            status=status,
            version=version,
            key_id=key,
            code=code,
            request_id=request_id,
            mode=mode,
            min_seconds=min_seconds,
            labels=[_label(each) for each in metadata or ()],
            test=test,
            since=since,
            before=before,
        )
        request = PageRequest(limit=limit, cursor=cursor)
        runs = RunAdmin(session.workspace)
        page = session.run(runs.page(which, request))
        shown = RunPage.of(page, session.run(runs.names(page.items)))
        none = "No runs match."
        session.terminal.show(shown, model_list(shown.items, COLUMNS, empty=none))
        session.terminal.note_next_page(page.next_cursor)


@commands.command("show")
def show(
    run_id: RunId, *, state: options.State = options.DEFAULT_STATE, as_json: options.Json = False
) -> None:
    """Show one run: its status, its nodes, its output or its error."""
    with open_session(state, as_json=as_json) as session:
        run = session.run(RunAdmin(session.workspace).find(run_id))
        session.terminal.show(run_document(run), *run_views(run))


@commands.command("timeline")
def timeline(
    run_id: RunId,
    *,
    limit: Annotated[int, typer.Option(min=1, max=MAX_SPANS, help="Spans to show at most.")] = 200,
    cursor: options.Cursor = None,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Show what happened to a run and when: queue, nodes, end and webhooks, as bars.

    $ slipstream runs timeline 0190…
    """
    with open_session(state, as_json=as_json) as session:
        request = SpanRequest(limit=limit, cursor=cursor)
        page = session.run(RunAdmin(session.workspace).timeline(run_id, request))
        shown = TimelineOut.of(page)
        session.terminal.show(shown, timeline_view(shown))
        session.terminal.warn(note.text for note in shown.notes)
        session.terminal.note_next_page(shown.next_cursor)


@commands.command("wait")
def wait(
    run_id: RunId,
    *,
    timeout: Timeout = None,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Wait until a run has finished, and show it. Ctrl-C stops waiting, not the run.

    Exit status: 0 completed; 1 failed, cancelled, or not finished in time.

    $ slipstream runs wait 0190… --timeout 60 && echo done
    """
    with open_session(state, as_json=as_json) as session:
        wait_and_show(session, run_id, timeout)


@commands.command("cancel")
def cancel(
    run_id: RunId, *, state: options.State = options.DEFAULT_STATE, as_json: options.Json = False
) -> None:
    """Cancel a run. A running one is `cancelled` once the engine has stopped."""
    with open_session(state, as_json=as_json) as session:
        run = session.run(RunAdmin(session.workspace).cancel(run_id))
        session.terminal.show(run_document(run), result_line(run))
        if not run.ended:
            session.terminal.note(f"To wait for it: slipstream runs wait {run.id}")


@commands.command("retry")
def retry(
    run_id: RunId,
    *,
    latest: Annotated[
        bool,
        typer.Option("--latest", help="Run the live version instead of the one that failed."),
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until the new run has finished, and show it.")
    ] = False,
    timeout: Timeout = None,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Retry a failed run with the same input, as a new run, which a running gateway starts.

    With --wait, the exit status is that of `slipstream runs wait`.

    $ slipstream runs retry 0190… --wait
    """
    with open_session(state, as_json=as_json) as session:
        run = session.run(RunAdmin(session.workspace).retry(run_id, latest=latest))
        if wait:
            wait_and_show(session, run.id, timeout)
        else:
            session.terminal.show(run_document(run), result_line(run))


@commands.command("curl")
def curl(
    run_id: RunId,
    *,
    key: Key = KeySource.MASKED,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Print the call that made a run: a curl line with its input, for the version that it ran.

    $ slipstream runs curl 0190…
    $ slipstream runs curl 0190… --key environment > again.sh
    """
    with open_session(state, as_json=as_json) as session:
        admin = RunAdmin(session.workspace)
        run = session.run(admin.find(run_id))
        if run.test:
            message = f"run {run.id} is a test of a draft, which has no URL: test it again"
            raise GatewayError(ErrorCode.CONFLICT, message)
        choices = ExampleChoices(
            language=Language.CURL,
            key=key,
            version=run.version,
            input_data=orjson.loads(session.run(admin.input_of(run))),
        )
        show_code(session, run.deployment_id, choices, as_json=as_json)


@commands.command("delete")
def delete(
    *,
    before: Annotated[
        datetime,
        typer.Option(
            "--before", help="Only runs created before this time.", callback=options.local_time
        ),
    ],
    deployment: OfDeployment = None,
    status: Status = None,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Delete finished runs, with their inputs and outputs.

    $ slipstream runs delete --before 2026-01-31 --status failed
    """
    with open_session(state, as_json=as_json) as session:
        which = RunFilter(
            profile_id=session.profile_id,
            deployment_id=deployment,
            status=status,
            before=before,
        )
        deleted = session.run(RunAdmin(session.workspace).delete(which))
        session.terminal.show({"deleted": deleted}, f"{deleted} runs deleted.")


@commands.command("tail")
def tail(
    *,
    deployment: OfDeployment = None,
    status: Status = None,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Follow runs: a line for each new run, and for each change of its status.

    Runs that take longer than half a second also have a line for each finished node. Ctrl-C
    stops. With --json each line is a document; those of nodes have `node_id` and `node` instead
    of `status`.

    $ slipstream runs tail
    $ slipstream runs tail --status failed --json | jq -r .error.message
    """
    with open_session(state, as_json=as_json) as session:
        which = RunFilter(
            profile_id=session.profile_id, deployment_id=deployment, status=status, since=now()
        )
        session.terminal.note("Waiting for runs; Ctrl-C stops.")
        with suppress(KeyboardInterrupt, BrokenPipeError):
            for change in follow(session, which):
                if change.node is None:
                    document = RunSummary.of(change.run)
                    session.terminal.show(document, tail_line(change.run))
                else:
                    session.terminal.show(
                        node_document(change.run, change.node), node_line(change.run, change.node)
                    )
