"""`slipstream webhooks deliveries|delivery|replay`: sent events, and sending them again."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from gateway.storage.paging import PageRequest
from gateway.storage.run_tables import RunRow
from gateway.storage.tables import Deployment
from gateway.webhooks.events import TEST_EVENT, WebhookEvent
from gateway.webhooks.listing import DeliveryFilter
from gateway.webhooks.schemas import (
    AttemptOut,
    DeliveryOut,
    DeliveryPage,
    DeliverySummary,
    ReplayedOut,
)
from gateway.webhooks.states import AttemptResult, DeliveryStatus
from slipstream import options
from slipstream.administration import webhook_service
from slipstream.commands.tables import Columns, elapsed, model_fields, model_list, model_table
from slipstream.id_prefix import whole_id
from slipstream.session import open_session

EVENTS = (*WebhookEvent, TEST_EVENT)
COLUMNS: Columns[DeliverySummary] = {
    "id": "id",
    "status": "status",
    "event": "event",
    "created": "created_at",
    "attempts": "attempts",
    "last answer": lambda out: out.last_error or out.last_status_code,
    "next": lambda out: out.next_attempt_at if out.status is DeliveryStatus.PENDING else None,
    "run": "flow_run_id",
}
ATTEMPT_COLUMNS: Columns[AttemptOut] = {
    "attempt": "number",
    "at": "started_at",
    "took": lambda out: elapsed(out.seconds),
    "result": "result",
    "status": "status_code",
    "reason": lambda out: out.error_message or out.error_code,
    "answer": lambda out: (out.response_body or "").strip()[:200],
}
_STYLES = {
    DeliveryStatus.DELIVERED: "green",
    DeliveryStatus.FAILED: "bold red",
    DeliveryStatus.PENDING: "yellow",
    DeliveryStatus.HELD: "yellow",
}


def add_to(commands: typer.Typer) -> None:
    """Add the commands."""
    commands.command("deliveries")(deliveries)
    commands.command("delivery")(delivery)
    commands.command("replay")(replay)


def deliveries(
    *,
    deployment: Annotated[
        str | None,
        typer.Option(help="Only of this deployment.", metavar="ID", callback=whole_id(Deployment)),
    ] = None,
    run: Annotated[
        str | None,
        typer.Option(help="Only of this run.", metavar="ID", callback=whole_id(RunRow)),
    ] = None,
    status: Annotated[
        DeliveryStatus | None, typer.Option(help="Only those with this status.")
    ] = None,
    event: Annotated[
        str | None, typer.Option(help=f"Only of this event: {', '.join(EVENTS)}.", metavar="EVENT")
    ] = None,
    since: options.Since = None,
    before: options.Before = None,
    limit: options.Limit = options.DEFAULT_LIMIT,
    cursor: options.Cursor = None,
    wide: options.Wide = False,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """List events and their delivery status, newest first, a page at a time.

    $ slipstream webhooks deliveries --status failed --from 2026-01-31
    $ slipstream webhooks deliveries --run 0190… --json | jq .items[].status
    """
    if event is not None and event not in EVENTS:
        raise typer.BadParameter(f"--event: expected one of {', '.join(EVENTS)}")
    which = DeliveryFilter(
        deployment_id=deployment,
        run_id=run,
        status=status,
        event=event,
        since=since,
        before=before,
    )
    with open_session(state, as_json=as_json, wide=wide) as session:
        request = PageRequest(limit=limit, cursor=cursor)
        webhooks = webhook_service(session.workspace)
        found = session.run(webhooks.deliveries(session.profile_id, which, request))
        page = DeliveryPage.of(found)
        none = "No deliveries match."
        session.terminal.show(page, model_list(page.items, COLUMNS, empty=none))
        session.terminal.note_next_page(page.next_cursor)


def delivery(
    delivery_id: Annotated[str, typer.Argument(help="Its webhook-id: msg_….", metavar="ID")],
    *,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Show one event, each attempt to deliver it, and the responses."""
    with open_session(state, as_json=as_json) as session:
        webhooks = webhook_service(session.workspace)
        shown = session.run(webhooks.delivery(session.profile_id, delivery_id))
        out = DeliveryOut.of_shown(shown)
        session.terminal.show(out, *delivery_views(out))


def replay(
    delivery_id: Annotated[
        str | None, typer.Argument(help="A webhook-id; or use --deployment.", metavar="[ID]")
    ] = None,
    *,
    deployment: Annotated[
        str | None,
        typer.Option(
            help="All of this deployment, since a time.",
            metavar="ID",
            callback=whole_id(Deployment),
        ),
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(help="Events from this time on; local time.", callback=options.local_time),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--everything", help="Also events that were delivered.")
    ] = False,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Send events again with the same ids; running gateways do it.

    $ slipstream webhooks replay msg_5yqQ…
    $ slipstream webhooks replay --deployment 0b9c… --since 2026-01-31T08:00:00
    """
    if (delivery_id is None) == (deployment is None):
        raise typer.BadParameter("give either a delivery's id, or --deployment and --since")
    if (deployment is None) != (since is None):
        raise typer.BadParameter("--deployment and --since must be given together")
    with open_session(state, as_json=as_json) as session:
        webhooks = webhook_service(session.workspace)
        if delivery_id is not None:
            shown = session.run(webhooks.replay(session.profile_id, delivery_id))
            out = DeliveryOut.of_shown(shown)
            session.terminal.show(out, delivery_line(out))
            session.terminal.note(f"To see the result: slipstream webhooks delivery {out.id}")
        elif deployment is not None and since is not None:
            work = webhooks.replay_since(
                session.profile_id, deployment, since, only_failed=not everything
            )
            count = session.run(work)
            session.terminal.show(
                ReplayedOut(replayed=count), f"{count} events will be sent again."
            )


def delivery_views(out: DeliveryOut) -> list[RenderableType]:
    """Return everything about a delivery, with a row for each attempt."""
    hide = {"payload", "attempt_log", "attempts", "last_status_code", "last_error"}
    if out.status is not DeliveryStatus.PENDING:
        hide.add("next_attempt_at")
    return [
        delivery_line(out),
        model_fields(out, hide=hide),
        "",
        model_table(out.attempt_log, ATTEMPT_COLUMNS, empty="Not attempted yet."),
    ]


def delivery_line(out: DeliveryOut) -> Text:
    """Return the status of a delivery, with the result of its last attempt."""
    last = out.attempt_log[-1] if out.attempt_log else None
    result = "" if last is None else f" ({_result(last)})"
    return Text.assemble(f"{out.event}: ", (out.status.value, _STYLES.get(out.status, "")), result)


def _result(last: AttemptOut) -> str:
    if last.status_code is not None:
        return f"{last.url} answered {last.status_code} in {elapsed(last.seconds)}"
    if last.result is AttemptResult.BLOCKED:
        return f"{last.error_message}"
    return f"{last.url}: {last.error_code}, {last.error_message}"
