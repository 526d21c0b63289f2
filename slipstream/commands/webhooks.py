"""`slipstream webhooks`: what deployments tell of their runs."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.webhooks.events import WebhookEvent
from gateway.webhooks.schemas import (
    DeliveryOut,
    EndpointOut,
    EndpointPage,
    EndpointPatch,
    EndpointSecretOut,
)
from gateway.webhooks.states import AttemptResult, DeliveryStatus, EndpointState
from slipstream import options
from slipstream.administration import webhook_service
from slipstream.commands import webhook_deliveries
from slipstream.commands.webhook_listen import listen_
from slipstream.commands.webhook_verify import verify
from slipstream.commands.webhook_views import (
    ENDPOINT_COLUMNS,
    delivery_views,
    endpoint_facts,
    endpoint_row,
)
from slipstream.failures import ExitStatus
from slipstream.session import open_session, validated
from slipstream.terminal import table

commands = typer.Typer(no_args_is_help=True)

Deployment = Annotated[str, typer.Argument(help="Id of the deployment.", metavar="DEPLOYMENT")]


def register(application: typer.Typer, noun: str, text: str) -> None:
    """Add the commands."""
    application.add_typer(commands, name=noun, help=text)


commands.command("listen")(listen_)
commands.command("verify")(verify)


@commands.command("list")
def list_webhooks(
    *, state: options.State = options.DEFAULT_STATE, as_json: options.Json = False
) -> None:
    """List the deployments that have a webhook, newest first."""
    with open_session(state, as_json=as_json) as session:
        webhooks = webhook_service(session.workspace)
        page = EndpointPage.of(session.fetch_all(lambda at: webhooks.page(session.profile_id, at)))
        none = (
            "There are no webhooks: give a deployment one with "
            "`slipstream deployments set ID --callback-url URL`."
        )
        rows = [endpoint_row(out) for out in page.items]
        session.terminal.show(page, table(ENDPOINT_COLUMNS, rows, empty=none))


@commands.command("show")
def show(
    deployment: Deployment,
    *,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Show a deployment's webhook and how it fares; never its secret."""
    with open_session(state, as_json=as_json) as session:
        webhooks = webhook_service(session.workspace)
        out = EndpointOut.of(session.run(webhooks.get(session.profile_id, deployment)))
        session.terminal.show(out, endpoint_facts(out))


@commands.command("set")
def set_(
    deployment: Deployment,
    *,
    event: Annotated[
        list[WebhookEvent] | None,
        typer.Option(
            help="Tell of run.started, run.completed, run.failed: only these; can be repeated.",
            metavar="EVENT",
        ),
    ] = None,
    enable: Annotated[
        bool | None, typer.Option("--enable/--disable", help="Whether anything is sent.")
    ] = None,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Choose events, or turn a webhook off and on; the URL is the deployment's.

    What happens while it is disabled is held: enable it, then replay.

    [dim]slipstream webhooks set 0b9c… --event run.started --event run.failed[/]
    [dim]slipstream webhooks set 0b9c… --enable[/]
    """
    with open_session(state, as_json=as_json) as session:
        turned = {True: EndpointState.ENABLED, False: EndpointState.DISABLED, None: None}[enable]
        wish = validated(EndpointPatch, events=event or None, state=turned)
        webhooks = webhook_service(session.workspace)
        work = webhooks.change(session.profile_id, deployment, events=wish.events, state=wish.state)
        out = EndpointOut.of(session.run(work))
        session.terminal.show(out, endpoint_facts(out))
        if turned is EndpointState.ENABLED:
            session.terminal.note(
                "To send what was held: slipstream webhooks replay "
                f"--deployment {out.deployment_id} --since TIME"
            )


@commands.command("rotate")
def rotate(
    deployment: Deployment,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Even where the last rotation is not over.")
    ] = False,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Make a new secret and print it, for the only time. For 24 hours the old one signs, too.

    [dim]slipstream webhooks rotate 0b9c… > secret.txt[/]
    """
    with open_session(state, as_json=as_json) as session:
        webhooks = webhook_service(session.workspace)
        endpoint = session.run(webhooks.rotate(session.profile_id, deployment, force=force))
        out = EndpointSecretOut.of(endpoint)
        session.terminal.show(out, out.secret)
        session.terminal.note(
            "It is not shown again. For 24 hours the old one signs, too; to end that: "
            f"slipstream webhooks end-overlap {out.deployment_id}"
        )


@commands.command("end-overlap")
def end_overlap(
    deployment: Deployment,
    *,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Have the previous secret sign no longer."""
    with open_session(state, as_json=as_json) as session:
        webhooks = webhook_service(session.workspace)
        work = webhooks.end_overlap(session.profile_id, deployment)
        out = EndpointOut.of(session.run(work))
        session.terminal.show(out, f"Only the newest secret of '{out.deployment_name}' signs.")


@commands.command("test")
def send_test(
    deployment: Deployment,
    *,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Send the event webhook.test now, once, from here, and show how that went.

    Exit status: 0 where it has arrived, else 1. It is sent by this command, with the settings of
    its own environment: SLIPSTREAM_WEBHOOK_ALLOW and …_HTTP have to be here, too.
    """
    with open_session(state, as_json=as_json) as session:
        webhooks = webhook_service(session.workspace)
        shown = session.run(webhooks.test(session.profile_id, deployment))
        out = DeliveryOut.of_shown(shown)
        session.terminal.show(out, *delivery_views(out))
        if any(attempt.result is AttemptResult.BLOCKED for attempt in out.attempt_log):
            session.terminal.note(
                "For a receiver on this machine, here and for the gateway: "
                "SLIPSTREAM_WEBHOOK_ALLOW=127.0.0.1/32 SLIPSTREAM_WEBHOOK_ALLOW_HTTP=1"
            )
        if out.status is not DeliveryStatus.DELIVERED:
            raise typer.Exit(ExitStatus.REFUSED)


webhook_deliveries.add_to(commands)
