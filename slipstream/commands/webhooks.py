"""`slipstream webhooks`: the webhooks of deployments."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import RenderableType

from gateway.storage.tables import Deployment
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
from slipstream.commands.tables import Columns, model_fields, model_list
from slipstream.commands.webhook_deliveries import delivery_views
from slipstream.commands.webhook_listen import listen_
from slipstream.commands.webhook_verify import verify
from slipstream.failures import ExitStatus
from slipstream.id_prefix import whole_id
from slipstream.session import open_session, validated

commands = typer.Typer(no_args_is_help=True)

DeploymentArgument = Annotated[
    str,
    typer.Argument(
        help="Id or name of the deployment.", metavar="DEPLOYMENT", callback=whole_id(Deployment)
    ),
]


def _state(out: EndpointOut) -> str:
    return out.state if out.disabled_reason is None else f"{out.state}: {out.disabled_reason}"


def _fields(out: EndpointOut) -> RenderableType:
    return model_fields(out, hide=("disabled_reason",), state=_state(out))


COLUMNS: Columns[EndpointOut] = {
    "id": "deployment_id",
    "deployment": "deployment_name",
    "state": _state,
    "callback URL": "callback_url",
    "failures in a row": lambda out: out.failures or None,
    "events": "events",
}


def register(application: typer.Typer, noun: str, text: str) -> None:
    """Add the commands."""
    application.add_typer(commands, name=noun, help=text)


commands.command("listen")(listen_)
commands.command("verify")(verify)


@commands.command("list")
def list_webhooks(
    *,
    wide: options.Wide = False,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """List the deployments that have a webhook, newest first."""
    with open_session(state, as_json=as_json, wide=wide) as session:
        webhooks = webhook_service(session.workspace)
        page = EndpointPage.of(session.fetch_all(lambda at: webhooks.page(session.profile_id, at)))
        none = (
            "There are no webhooks: add one with "
            "`slipstream deployments set ID --callback-url URL`."
        )
        session.terminal.show(page, model_list(page.items, COLUMNS, empty=none))


@commands.command("show")
def show(
    deployment: DeploymentArgument,
    *,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Show a deployment's webhook and its state, without its secret."""
    with open_session(state, as_json=as_json) as session:
        webhooks = webhook_service(session.workspace)
        out = EndpointOut.of(session.run(webhooks.get(session.profile_id, deployment)))
        session.terminal.show(out, _fields(out))


@commands.command("set")
def set_(
    deployment: DeploymentArgument,
    *,
    event: Annotated[
        list[WebhookEvent] | None,
        typer.Option(
            help="Events to send: run.started, run.completed, run.failed, run.cancelled; "
            "can be repeated.",
            metavar="EVENT",
        ),
    ] = None,
    enable: Annotated[
        bool | None, typer.Option("--enable/--disable", help="Whether events are sent.")
    ] = None,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Choose events, or disable and enable a webhook; the URL is the deployment's.

    Events are held while it is disabled: enable it, then replay them.

    $ slipstream webhooks set 0b9c… --event run.started --event run.failed
    $ slipstream webhooks set 0b9c… --enable
    """
    with open_session(state, as_json=as_json) as session:
        new_state = {True: EndpointState.ENABLED, False: EndpointState.DISABLED, None: None}[enable]
        patch = validated(EndpointPatch, events=event or None, state=new_state)
        webhooks = webhook_service(session.workspace)
        work = webhooks.change(
            session.profile_id, deployment, events=patch.events, state=patch.state
        )
        out = EndpointOut.of(session.run(work))
        session.terminal.show(out, _fields(out))
        if new_state is EndpointState.ENABLED:
            session.terminal.note(
                "To send the held events: slipstream webhooks replay "
                f"--deployment {out.deployment_id} --since TIME"
            )


@commands.command("rotate")
def rotate(
    deployment: DeploymentArgument,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Even if the last rotation's overlap has not ended.")
    ] = False,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Create a new secret and print it once. The old one also signs for another 24 hours.

    $ slipstream webhooks rotate 0b9c… > secret.txt
    """
    with open_session(state, as_json=as_json) as session:
        webhooks = webhook_service(session.workspace)
        endpoint = session.run(webhooks.rotate(session.profile_id, deployment, force=force))
        out = EndpointSecretOut.of(endpoint)
        session.terminal.show(out, out.secret)
        session.terminal.note(
            "It is not shown again. The old one also signs for another 24 hours; to end that: "
            f"slipstream webhooks end-overlap {out.deployment_id}"
        )


@commands.command("end-overlap")
def end_overlap(
    deployment: DeploymentArgument,
    *,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Stop signing with the previous secret."""
    with open_session(state, as_json=as_json) as session:
        webhooks = webhook_service(session.workspace)
        work = webhooks.end_overlap(session.profile_id, deployment)
        out = EndpointOut.of(session.run(work))
        session.terminal.show(out, f"Only the newest secret of '{out.deployment_name}' signs now.")


@commands.command("resume")
def resume(
    deployment: DeploymentArgument,
    *,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Send again, now, to a receiver that failed and has been repaired.

    What waits for another attempt is sent at once, with all attempts again.
    """
    with open_session(state, as_json=as_json) as session:
        webhooks = webhook_service(session.workspace)
        out = EndpointOut.of(session.run(webhooks.resume(session.profile_id, deployment)))
        session.terminal.show(out, f"Events of '{out.deployment_name}' are sent again.")


@commands.command("test")
def send_test(
    deployment: DeploymentArgument,
    *,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Send the event webhook.test once from this machine, and show the result.

    Exit status: 0 if it was delivered, else 1. This process sends it, so SLIPSTREAM_WEBHOOK_ALLOW
    and …_HTTP must be set in its environment too.
    """
    with open_session(state, as_json=as_json) as session:
        webhooks = webhook_service(session.workspace)
        shown = session.run(webhooks.test(session.profile_id, deployment))
        out = DeliveryOut.of_shown(shown)
        session.terminal.show(out, *delivery_views(out))
        if any(attempt.result is AttemptResult.BLOCKED for attempt in out.attempt_log):
            session.terminal.note(
                "For a receiver on this machine, set here and for the gateway: "
                "SLIPSTREAM_WEBHOOK_ALLOW=127.0.0.1/32 SLIPSTREAM_WEBHOOK_ALLOW_HTTP=1"
            )
        if out.status is not DeliveryStatus.DELIVERED:
            raise typer.Exit(ExitStatus.REFUSED)


webhook_deliveries.add_to(commands)
