"""`slipstream deployments`: flows behind stable URLs."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.deployments.presets import Preset
from gateway.deployments.schemas import (
    ChangedDeploymentOut,
    DeploymentIn,
    DeploymentOut,
    DeploymentPage,
    DeploymentPatch,
    NewDeploymentOut,
    PresetList,
)
from gateway.deployments.settings import DeploymentType, ExecutionMode, ResponseFormat, RunsOnDelete
from gateway.runs.cleanup import DeletedOwnerCleanup
from gateway.runs.store import RunStore
from slipstream import options
from slipstream.commands.deployment_versions import DeploymentId, add_to, show_version
from slipstream.commands.deployment_views import deployment_facts, deployment_row
from slipstream.commands.webhook_options import (
    CallbackUrl,
    CancelOnDisconnect,
    Events,
    secret_lines,
    webhook_of,
)
from slipstream.options import ConcurrentRuns, PerDay, PerMinute, PollsPerMinute, limits_of
from slipstream.session import open_session, validated
from slipstream.terminal import Terminal, table

commands = typer.Typer(no_args_is_help=True)

Mode = Annotated[ExecutionMode | None, typer.Option(help="How it answers.")]
Type = Annotated[DeploymentType | None, typer.Option("--type", help="Where the flow runs.")]
Timeout = Annotated[int | None, typer.Option(help="Seconds that a run may take.")]
CorsOrigins = Annotated[
    list[str] | None,
    typer.Option(help="Origin whose pages may call it, or *; can be repeated."),
]
Format = Annotated[ResponseFormat | None, typer.Option(help="Form of the answers.")]


def register(application: typer.Typer, noun: str, text: str) -> None:
    """Add the commands."""
    application.add_typer(commands, name=noun, help=text)


@commands.command("create")
def create(
    *,
    flow: Annotated[str, typer.Option(help="Id of the flow to deploy.", metavar="ID")],
    preset: Annotated[
        Preset | None,
        typer.Option(help="What it is for: gives type and mode. See `deployments presets`."),
    ] = None,
    mode: Mode = None,
    name: Annotated[str | None, typer.Option(help="Default: the flow's name.")] = None,
    type_: Type = None,
    timeout: Timeout = None,
    response_format: Format = None,
    callback_url: CallbackUrl = None,
    event: Events = None,
    cancel_on_disconnect: CancelOnDisconnect = None,
    calls_per_minute: PerMinute = None,
    calls_per_day: PerDay = None,
    concurrent_runs: ConcurrentRuns = None,
    polls_per_minute: PollsPerMinute = None,
    cors_origin: CorsOrigins = None,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Deploy a flow. Where no key covers it yet, one is made and printed, for the only time.

    Without options: mode sync, type api, at most 3600 seconds a run, flat answers.

    [dim]slipstream deployments create --flow 0b9c… --mode fast[/]
    [dim]slipstream deployments create --flow 0b9c… --preset background[/]
    [dim]slipstream deployments create --flow 0b9c… --callback-url https://shop.example.com/hooks[/]
    """
    with open_session(state, as_json=as_json) as session:
        given = _given(
            name=name,
            preset=preset,
            execution_mode=mode,
            deployment_type=type_,
            timeout_seconds=timeout,
            response_format=response_format,
            cancel_on_disconnect=cancel_on_disconnect,
            webhook_events=event or None,
            **webhook_of(callback_url),
            limits=limits_of(calls_per_minute, calls_per_day, concurrent_runs, polls_per_minute),
            cors_origins=cors_origin,
        )
        new = validated(DeploymentIn, flow_id=flow, **given)
        deployed = session.run(
            session.services.deployments.create(session.profile_id, new.flow_id, new.settings())
        )
        out = NewDeploymentOut.of(deployed)
        session.terminal.show(
            out,
            f"Deployment '{out.name}' {out.id}: POST {out.trigger_path}",
            *([f"API key, shown only now: {out.api_key.key}"] if out.api_key else []),
            *secret_lines(out.webhook_secret),
        )
        for pinned in out.models:
            session.terminal.note(
                "If no inference server runs for it yet: "
                f"slipstream models serve {pinned.model} --version {pinned.version}"
            )


@commands.command("presets")
def presets(*, as_json: options.Json = False) -> None:
    """List what deployments are for, with the settings that suit each."""
    listed = PresetList.listed()
    rows = [
        (
            preset.name,
            preset.situation,
            preset.deployment_type,
            " or ".join([preset.execution_mode, *preset.alternatives]),
        )
        for preset in listed.items
    ]
    Terminal(as_json=as_json).show(
        listed, table(("preset", "situation", "type", "mode"), rows, empty="There are none.")
    )


@commands.command("list")
def list_deployments(
    *, state: options.State = options.DEFAULT_STATE, as_json: options.Json = False
) -> None:
    """List the deployments, newest first."""
    with open_session(state, as_json=as_json) as session:
        deployments = session.services.deployments
        page = DeploymentPage.of(
            session.fetch_all(lambda at: deployments.page(session.profile_id, at))
        )
        columns = ("id", "name", "type", "mode", "status", "version", "models", "created")
        none = "There are no deployments: make one with `slipstream deployments create --flow ID`."
        rows = [deployment_row(out) for out in page.items]
        session.terminal.show(page, table(columns, rows, empty=none))


@commands.command("show")
def show(
    deployment_id: DeploymentId,
    *,
    version: Annotated[
        int | None, typer.Option(min=1, help="Show this version of it, with its nodes.")
    ] = None,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Show one deployment, or one version of it."""
    with open_session(state, as_json=as_json) as session:
        if version is not None:
            show_version(session, deployment_id, version)
            return
        deployments = session.services.deployments
        out = DeploymentOut.of(session.run(deployments.get(session.profile_id, deployment_id)))
        session.terminal.show(out, deployment_facts(out))
        if out.draft_differs:
            session.terminal.note(f"The draft differs: slipstream deployments diff {out.id}")


@commands.command("set")
def set_(
    deployment_id: DeploymentId,
    *,
    mode: Mode = None,
    name: Annotated[str | None, typer.Option(help="What to call it.")] = None,
    type_: Type = None,
    timeout: Timeout = None,
    response_format: Format = None,
    callback_url: CallbackUrl = None,
    event: Events = None,
    no_webhook: Annotated[
        bool, typer.Option("--no-webhook", help="Tell nobody any more; the URL is forgotten.")
    ] = False,
    cancel_on_disconnect: CancelOnDisconnect = None,
    calls_per_minute: PerMinute = None,
    calls_per_day: PerDay = None,
    concurrent_runs: ConcurrentRuns = None,
    polls_per_minute: PollsPerMinute = None,
    cors_origin: CorsOrigins = None,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Change settings at once; the version stays.

    A first --callback-url makes a webhook, whose secret is printed for the only time.

    [dim]slipstream deployments set 0b9c… --mode async --timeout 600[/]
    [dim]slipstream deployments set 0b9c… --callback-url http://127.0.0.1:8765/[/]
    [dim]slipstream deployments set 0b9c… --calls-per-minute 600 --concurrent-runs 4[/]
    """
    if no_webhook and callback_url:
        raise typer.BadParameter("--callback-url and --no-webhook contradict each other")
    with open_session(state, as_json=as_json) as session:
        given = _given(
            name=name,
            execution_mode=mode,
            deployment_type=type_,
            timeout_seconds=timeout,
            response_format=response_format,
            cancel_on_disconnect=cancel_on_disconnect,
            webhook_events=event or None,
            **webhook_of(callback_url),
            limits=limits_of(calls_per_minute, calls_per_day, concurrent_runs, polls_per_minute),
            cors_origins=cors_origin,
        )
        given |= {"notification_method": "none", "callback_url": None} if no_webhook else {}
        change = validated(DeploymentPatch, **given).change()
        work = session.services.deployments.change(session.profile_id, deployment_id, **change)
        out = ChangedDeploymentOut.of(session.run(work))
        shown = deployment_facts(DeploymentOut.model_validate(out.model_dump()))
        session.terminal.show(out, shown, *secret_lines(out.webhook_secret))


@commands.command("pause")
def pause(
    deployment_id: DeploymentId,
    *,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Turn calls away until it is resumed; URL and keys stay."""
    with open_session(state, as_json=as_json) as session:
        deployments = session.services.deployments
        out = DeploymentOut.of(session.run(deployments.pause(session.profile_id, deployment_id)))
        session.terminal.show(out, f"Deployment '{out.name}' is paused: its URL answers 409.")


@commands.command("resume")
def resume(
    deployment_id: DeploymentId,
    *,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Take calls again."""
    with open_session(state, as_json=as_json) as session:
        deployments = session.services.deployments
        out = DeploymentOut.of(session.run(deployments.resume(session.profile_id, deployment_id)))
        session.terminal.show(out, f"Deployment '{out.name}' is active.")


@commands.command("delete")
def delete(
    deployment_id: DeploymentId,
    *,
    runs: Annotated[
        RunsOnDelete, typer.Option(help="What becomes of runs that have begun.")
    ] = RunsOnDelete.FINISH,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Delete a deployment for good; its URL answers 410 from then on.

    Runs that are queued are cancelled.
    """
    with open_session(state, as_json=as_json) as session:
        db = session.workspace.db
        cleanup = DeletedOwnerCleanup(db, RunStore(db))
        deployments = session.services.deployments
        session.run(deployments.delete(session.profile_id, deployment_id, cleanup, then=runs))
        document = {"id": deployment_id, "deleted": True}
        session.terminal.show(document, f"Deployment {deployment_id} is deleted.")


add_to(commands)


def _given(**options_: object) -> dict[str, object]:
    """Return the options that stand on the command line."""
    return {name: value for name, value in options_.items() if value is not None}
