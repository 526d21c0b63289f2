"""`slipstream webhooks deliveries|delivery|replay`: what was sent, and sending it again."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from gateway.storage.paging import PageRequest
from gateway.webhooks.events import TEST_EVENT, WebhookEvent
from gateway.webhooks.listing import DeliveryFilter
from gateway.webhooks.schemas import DeliveryOut, DeliveryPage, ReplayedOut
from gateway.webhooks.states import DeliveryStatus
from slipstream import options
from slipstream.administration import webhook_service
from slipstream.commands.webhook_views import (
    DELIVERY_COLUMNS,
    delivery_line,
    delivery_row,
    delivery_views,
)
from slipstream.session import open_session
from slipstream.terminal import table

EVENTS = (*WebhookEvent, TEST_EVENT)


def add_to(commands: typer.Typer) -> None:
    """Add the commands."""
    commands.command("deliveries")(deliveries)
    commands.command("delivery")(delivery)
    commands.command("replay")(replay)


def deliveries(
    *,
    deployment: Annotated[
        str | None, typer.Option(help="Only of this deployment.", metavar="ID")
    ] = None,
    run: Annotated[str | None, typer.Option(help="Only of this run.", metavar="ID")] = None,
    status: Annotated[DeliveryStatus | None, typer.Option(help="Only those like this.")] = None,
    event: Annotated[
        str | None, typer.Option(help=f"Only of this event: {', '.join(EVENTS)}.", metavar="EVENT")
    ] = None,
    since: options.Since = None,
    before: options.Before = None,
    limit: options.Limit = options.DEFAULT_LIMIT,
    cursor: options.Cursor = None,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """List events and how far they are, newest first, a page at a time.

    [dim]slipstream webhooks deliveries --status failed --from 2026-01-31[/]
    [dim]slipstream webhooks deliveries --run 0190… --json | jq .items[].status[/]
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
    with open_session(state, as_json=as_json) as session:
        request = PageRequest(limit=limit, cursor=cursor)
        webhooks = webhook_service(session.workspace)
        found = session.run(webhooks.deliveries(session.profile_id, which, request))
        page = DeliveryPage.of(found)
        rows = [delivery_row(out) for out in page.items]
        none = "There are no such deliveries."
        session.terminal.show(page, table(DELIVERY_COLUMNS, rows, empty=none))
        session.terminal.note_next_page(page.next_cursor)


def delivery(
    delivery_id: Annotated[str, typer.Argument(help="Its webhook-id: msg_….", metavar="ID")],
    *,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Show one event, each attempt to deliver it, and what came back."""
    with open_session(state, as_json=as_json) as session:
        webhooks = webhook_service(session.workspace)
        shown = session.run(webhooks.delivery(session.profile_id, delivery_id))
        out = DeliveryOut.of_shown(shown)
        session.terminal.show(out, *delivery_views(out))


def replay(
    delivery_id: Annotated[
        str | None, typer.Argument(help="A webhook-id; or say --deployment.", metavar="[ID]")
    ] = None,
    *,
    deployment: Annotated[
        str | None, typer.Option(help="All of this deployment, since a time.", metavar="ID")
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(help="Events of this time or later; local time.", callback=options.local_time),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--everything", help="Also what has arrived, not only what has not.")
    ] = False,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Have events sent again under their old ids, by the gateways that run.

    [dim]slipstream webhooks replay msg_5yqQ…[/]
    [dim]slipstream webhooks replay --deployment 0b9c… --since 2026-01-31T08:00:00[/]
    """
    if (delivery_id is None) == (deployment is None):
        raise typer.BadParameter("give either a delivery's id, or --deployment and --since")
    if (deployment is None) != (since is None):
        raise typer.BadParameter("--deployment and --since belong together")
    with open_session(state, as_json=as_json) as session:
        webhooks = webhook_service(session.workspace)
        if delivery_id is not None:
            shown = session.run(webhooks.replay(session.profile_id, delivery_id))
            out = DeliveryOut.of_shown(shown)
            session.terminal.show(out, delivery_line(out))
            session.terminal.note(f"To see it arrive: slipstream webhooks delivery {out.id}")
        elif deployment is not None and since is not None:
            work = webhooks.replay_since(
                session.profile_id, deployment, since, only_failed=not everything
            )
            count = session.run(work)
            session.terminal.show(ReplayedOut(replayed=count), f"{count} events are sent again.")
