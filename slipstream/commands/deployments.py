"""`slipstream deployments`: flows behind stable URLs."""

from __future__ import annotations

import shlex
from functools import partial
from typing import Annotated

import typer
from rich.console import RenderableType

from gateway.deployments.plan import KeyChoice
from gateway.deployments.presets import Preset
from gateway.deployments.schemas import (
    ChangedDeploymentOut,
    DeploymentIn,
    DeploymentOut,
    DeploymentPage,
    DeploymentPatch,
    DeploymentPlanOut,
    NewDeploymentOut,
    PresetList,
    PresetOut,
)
from gateway.deployments.settings import ExecutionMode, ListedStatus, RunsOnDelete
from gateway.deployments.store import DeploymentFilter
from gateway.fleet.schemas import ServerSettingsIn
from gateway.runs.cleanup import DeletedOwnerCleanup
from gateway.runs.store import RunStore
from gateway.storage.paging import PageRequest
from gateway.storage.tables import Flow
from slipstream import options
from slipstream.commands import (
    deployment_advice,
    deployment_code,
    deployment_export,
    deployment_watch,
    rollouts,
)
from slipstream.commands.deployment_call import call_lines
from slipstream.commands.deployment_options import (
    AfterTimeout,
    CallbackUrl,
    CancelOnDisconnect,
    ColdStartWait,
    CorsOrigins,
    Events,
    Format,
    IncludeNodeOutputs,
    Mode,
    NonFiniteForm,
    QueueTimeout,
    Recorded,
    RecordSample,
    RequireIdempotencyKey,
    RetrySafe,
    Slug,
    Timeout,
    Type,
    secret_lines,
    webhook_of,
)
from slipstream.commands.deployment_rehearsal import cancel_rehearsal, rehearse
from slipstream.commands.deployment_versions import (
    DeploymentId,
    add_to,
    models_text,
    show_version,
    warn_about,
)
from slipstream.commands.model_views import server_document, server_state, started_lines
from slipstream.commands.server_options import (
    BatchingOption,
    HostLabels,
    IdleTimeout,
    MaxRunSeconds,
    Replicas,
    TargetQueue,
    server_settings,
)
from slipstream.commands.tables import Columns, model_fields, model_list, model_table
from slipstream.id_prefix import whole_id
from slipstream.options import ConcurrentRuns, PerDay, PerMinute, PollsPerMinute, limits_of
from slipstream.session import CommandSession, open_session, validated
from slipstream.terminal import Terminal

commands = typer.Typer(no_args_is_help=True)

COLUMNS: Columns[DeploymentOut] = {
    "id": "id",
    "name": "name",
    "status": "status",
    "mode": "execution_mode",
    "version": lambda out: f"{out.version}, draft differs" if out.draft_differs else out.version,
    "created": "created_at",
    "address": "named_path",
    "models": lambda out: models_text(out.models),
    "type": "deployment_type",
}
PRESET_COLUMNS: Columns[PresetOut] = {
    "preset": "name",
    "situation": "situation",
    "type": "deployment_type",
    "mode": lambda preset: " or ".join([preset.execution_mode, *preset.alternatives]),
}


def register(application: typer.Typer, noun: str, text: str) -> None:
    """Add the commands."""
    application.add_typer(commands, name=noun, help=text)


@commands.command("create")
def create(
    *,
    flow: Annotated[
        str,
        typer.Option(
            help="Id or name of the flow to deploy.", metavar="ID", callback=whole_id(Flow)
        ),
    ],
    preset: Annotated[
        Preset | None,
        typer.Option(help="Use case that sets type and mode; see `deployments presets`."),
    ] = None,
    mode: Mode = None,
    name: Annotated[str | None, typer.Option(help="Default: the flow's name.")] = None,
    slug: Slug = None,
    type_: Type = None,
    timeout: Timeout = None,
    response_format: Format = None,
    non_finite: NonFiniteForm = None,
    callback_url: CallbackUrl = None,
    event: Events = None,
    cancel_on_disconnect: CancelOnDisconnect = None,
    queue_timeout: QueueTimeout = None,
    cold_start_wait: ColdStartWait = None,
    on_timeout: AfterTimeout = None,
    include_node_outputs: IncludeNodeOutputs = None,
    retry_safe: RetrySafe = None,
    require_idempotency_key: RequireIdempotencyKey = None,
    record_runs: Recorded = None,
    record_sample: RecordSample = None,
    calls_per_minute: PerMinute = None,
    calls_per_day: PerDay = None,
    concurrent_runs: ConcurrentRuns = None,
    polls_per_minute: PollsPerMinute = None,
    cors_origin: CorsOrigins = None,
    start_server: Annotated[
        bool,
        typer.Option("--start-server", help="Start the inference servers of its models, too."),
    ] = False,
    no_key: Annotated[
        bool, typer.Option("--no-key", help="Create no API key for this deployment.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Make nothing: print what would be made.")
    ] = False,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Deploy a flow. An API key for this deployment is printed once, in a curl line that calls it.

    In mode fast an inference server is started for its model, unless it has been stopped.

    Defaults: mode sync, type api, a timeout of 3600 seconds, response format auto.

    $ slipstream deployments create --flow 0b9c… --mode fast
    $ slipstream deployments create --flow 0b9c… --preset background
    $ slipstream deployments create --flow 0b9c… --callback-url https://shop.example.com/hooks
    """
    with open_session(state, as_json=as_json) as session:
        given = _given(
            name=name,
            slug=slug,
            preset=preset,
            execution_mode=mode,
            deployment_type=type_,
            timeout_seconds=timeout,
            response_format=response_format,
            non_finite=non_finite,
            cancel_on_disconnect=cancel_on_disconnect,
            queue_timeout_seconds=queue_timeout,
            cold_start_wait_seconds=cold_start_wait,
            on_timeout=on_timeout,
            include_node_outputs=include_node_outputs,
            retry_safe=retry_safe,
            require_idempotency_key=require_idempotency_key,
            record_runs=record_runs,
            record_sample=record_sample,
            webhook_events=event or None,
            **webhook_of(callback_url),
            limits=limits_of(calls_per_minute, calls_per_day, concurrent_runs, polls_per_minute),
            cors_origins=cors_origin,
        )
        key = KeyChoice.NONE if no_key else KeyChoice.NEW
        given |= {"start_server": start_server, "api_key": key}
        new = validated(DeploymentIn, flow_id=flow, **given)
        if dry_run:
            _show_plan(session, new)
            return
        deployed = session.run(
            session.services.deployments.create(
                session.profile_id, new.flow_id, new.settings(), launch=new.launch()
            )
        )
        out = NewDeploymentOut.of(deployed, session.public_url)
        session.terminal.show(
            out,
            f"Deployment '{out.name}' {out.id}: POST {out.named_path or out.trigger_path}",
            *secret_lines(out.webhook_secret),
            *call_lines(session, out),
        )
        warn_about(session, out)


@commands.command("presets")
def presets(*, as_json: options.Json = False) -> None:
    """List the presets: use cases, and the settings that suit them."""
    listed = PresetList.listed()
    presets = model_table(listed.items, PRESET_COLUMNS, empty="There are no presets.")
    Terminal(as_json=as_json).show(listed, presets)


@commands.command("list")
def list_deployments(
    *,
    flow: Annotated[
        str | None,
        typer.Option(help="Only deployments of this flow.", metavar="ID", callback=whole_id(Flow)),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Only those whose name contains this.", metavar="TEXT")
    ] = None,
    mode: Annotated[ExecutionMode | None, typer.Option(help="Only those of this mode.")] = None,
    status: Annotated[ListedStatus | None, typer.Option(help="Only those of this status.")] = None,
    wide: options.Wide = False,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """List the deployments, newest first.

    $ slipstream deployments list --name iris --status paused
    """
    with open_session(state, as_json=as_json, wide=wide) as session:
        deployments = session.services.deployments
        wanted = DeploymentFilter(flow_id=flow, q=name, mode=mode, status=status)
        page = DeploymentPage.of(
            session.fetch_all(lambda at: deployments.page(session.profile_id, at, wanted)),
            session.public_url,
        )
        none = (
            "There are no deployments: create one with `slipstream deployments create --flow ID`."
            if wanted == DeploymentFilter()
            else "No deployment matches."
        )
        session.terminal.show(page, model_list(page.items, COLUMNS, empty=none))


@commands.command("show")
def show(
    deployment_id: DeploymentId,
    *,
    version: Annotated[
        int | None, typer.Option(min=1, help="Show this version, with its nodes.")
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
        view = session.run(deployments.get(session.profile_id, deployment_id))
        out = DeploymentOut.of(view, session.public_url)
        session.terminal.show(out, _fields(out), *_server_lines(session, out))
        warn_about(session, out)
        if out.draft_differs:
            session.terminal.note(f"The draft differs: slipstream deployments diff {out.id}")


@commands.command("set")
def set_(
    deployment_id: DeploymentId,
    *,
    mode: Mode = None,
    name: Annotated[str | None, typer.Option(help="New name.")] = None,
    slug: Slug = None,
    type_: Type = None,
    timeout: Timeout = None,
    response_format: Format = None,
    non_finite: NonFiniteForm = None,
    callback_url: CallbackUrl = None,
    event: Events = None,
    no_webhook: Annotated[
        bool, typer.Option("--no-webhook", help="Remove the webhook and its URL.")
    ] = False,
    cancel_on_disconnect: CancelOnDisconnect = None,
    queue_timeout: QueueTimeout = None,
    cold_start_wait: ColdStartWait = None,
    on_timeout: AfterTimeout = None,
    include_node_outputs: IncludeNodeOutputs = None,
    retry_safe: RetrySafe = None,
    require_idempotency_key: RequireIdempotencyKey = None,
    record_runs: Recorded = None,
    record_sample: RecordSample = None,
    calls_per_minute: PerMinute = None,
    calls_per_day: PerDay = None,
    concurrent_runs: ConcurrentRuns = None,
    polls_per_minute: PollsPerMinute = None,
    cors_origin: CorsOrigins = None,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Change settings immediately; the version stays the same.

    The first --callback-url creates a webhook, whose secret is printed once.

    $ slipstream deployments set 0b9c… --mode async --timeout 600
    $ slipstream deployments set 0b9c… --slug churn
    $ slipstream deployments set 0b9c… --callback-url http://127.0.0.1:8765/
    $ slipstream deployments set 0b9c… --calls-per-minute 600 --concurrent-runs 4
    """
    if no_webhook and callback_url:
        raise typer.BadParameter("--callback-url and --no-webhook exclude each other")
    with open_session(state, as_json=as_json) as session:
        given = _given(
            name=name,
            slug=slug,
            execution_mode=mode,
            deployment_type=type_,
            timeout_seconds=timeout,
            response_format=response_format,
            non_finite=non_finite,
            cancel_on_disconnect=cancel_on_disconnect,
            queue_timeout_seconds=queue_timeout,
            cold_start_wait_seconds=cold_start_wait,
            on_timeout=on_timeout,
            include_node_outputs=include_node_outputs,
            retry_safe=retry_safe,
            require_idempotency_key=require_idempotency_key,
            record_runs=record_runs,
            record_sample=record_sample,
            webhook_events=event or None,
            **webhook_of(callback_url),
            limits=limits_of(calls_per_minute, calls_per_day, concurrent_runs, polls_per_minute),
            cors_origins=cors_origin,
        )
        given |= {"notification_method": "none", "callback_url": None} if no_webhook else {}
        change = validated(DeploymentPatch, **given).change()
        work = session.services.deployments.change(session.profile_id, deployment_id, **change)
        out = ChangedDeploymentOut.of(session.run(work), session.public_url)
        session.terminal.show(out, _fields(out), *secret_lines(out.webhook_secret))
        warn_about(session, out)


@commands.command("serve")
def serve(
    deployment_id: DeploymentId,
    *,
    idle_timeout: IdleTimeout = None,
    replicas: Replicas = None,
    target_queue: TargetQueue = None,
    on: HostLabels = None,
    batching: BatchingOption = None,
    max_run_seconds: MaxRunSeconds = None,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Start the inference server of its model, or change how many replicas it has, and where.

    As `slipstream models serve`, for the model of the live version. The next version of the model
    starts with the same settings. Deployments of the same model version share the server.

    $ slipstream deployments serve 0b9c… --replicas 3
    $ slipstream deployments serve 0b9c… --replicas 1..8 --on zone=b
    """
    given = server_settings(
        idle_timeout=idle_timeout,
        replicas=replicas,
        target_queue=target_queue,
        on=on,
        batching=batching,
        max_run_seconds=max_run_seconds,
    )
    with open_session(state, as_json=as_json) as session:
        settings = validated(ServerSettingsIn, **given).settings()
        fleet = session.services.fleet
        work = fleet.serve_deployment(session.profile_id, deployment_id, **settings)
        server = session.run(work)
        session.terminal.show(server_document(server), *started_lines(session, server, given))


@commands.command("pause")
def pause(
    deployment_id: DeploymentId,
    *,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Reject calls until the deployment is resumed; URL and keys stay the same."""
    with open_session(state, as_json=as_json) as session:
        deployments = session.services.deployments
        view = session.run(deployments.pause(session.profile_id, deployment_id))
        out = DeploymentOut.of(view, session.public_url)
        session.terminal.show(out, f"Deployment '{out.name}' is paused: its URL answers 409.")


@commands.command("resume")
def resume(
    deployment_id: DeploymentId,
    *,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Accept calls again."""
    with open_session(state, as_json=as_json) as session:
        deployments = session.services.deployments
        view = session.run(deployments.resume(session.profile_id, deployment_id))
        out = DeploymentOut.of(view, session.public_url)
        session.terminal.show(out, f"Deployment '{out.name}' is active.")


@commands.command("delete")
def delete(
    deployment_id: DeploymentId,
    *,
    runs: Annotated[
        RunsOnDelete, typer.Option(help="What to do with runs in progress.")
    ] = RunsOnDelete.FINISH,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Delete a deployment permanently; its URL then answers 410.

    Queued runs are cancelled. Its flow and its models stay, and its own keys are deactivated; the
    output names the commands that delete them.
    """
    with open_session(state, as_json=as_json) as session:
        db, profile_id = session.workspace.db, session.profile_id
        cleanup = DeletedOwnerCleanup(db, RunStore(db))
        deployments = session.services.deployments
        row = session.run(deployments.get(profile_id, deployment_id)).row
        session.run(deployments.delete(profile_id, deployment_id, cleanup, then=runs))
        session.terminal.show(
            {"id": deployment_id, "deleted": True},
            f"Deployment '{row.name}' is deleted.",
            *_own_keys(session, deployment_id),
            *_unused_flow(session, row.flow_id),
        )


add_to(commands)
rollouts.add_to(commands)
deployment_code.add_to(commands)
deployment_export.add_to(commands)
deployment_advice.add_to(commands)
deployment_watch.add_to(commands)
commands.command("rehearse")(rehearse)
commands.command("cancel-rehearsal")(cancel_rehearsal)


def _show_plan(session: CommandSession, new: DeploymentIn) -> None:
    work = session.services.planner.plan(
        session.profile_id, new.flow_id, new.settings(), new.launch()
    )
    plan = DeploymentPlanOut.of(session.run(work))
    what = "can be deployed" if plan.deployable else "cannot be deployed"
    checks = [f"{check.result}: {check.message}" for check in plan.checks]
    session.terminal.show(plan, f"'{plan.name}' {what}; nothing was made.", *checks)


def _own_keys(session: CommandSession, deployment_id: str) -> list[str]:
    """Return how the keys are deleted that call only this deployment."""
    keys = session.fetch_all(partial(session.services.keys.page, session.profile_id)).items
    return [
        f"Its key is deactivated:  slipstream keys delete {key.row.id}"
        for key in keys
        if key.row.deployments == [deployment_id]
    ]


def _unused_flow(session: CommandSession, flow_id: str) -> list[str]:
    """Return how a flow is deleted, if no deployment uses it."""
    profile_id, services = session.profile_id, session.services
    used = DeploymentFilter(flow_id=flow_id)
    if session.run(services.deployments.page(profile_id, PageRequest(limit=1), used)).items:
        return []
    flow = session.run(services.flows.get(profile_id, flow_id))
    return [f"Its flow stays:          slipstream flows delete {shlex.quote(flow.name)}"]


def _server_lines(session: CommandSession, out: DeploymentOut) -> list[str]:
    """Return how the inference servers are that its calls get."""
    pinned = {(model.model, model.version) for model in out.models}
    found = session.run(session.services.fleet.store.with_models({name for name, _ in pinned}))
    return [
        f"Inference server for {server.model} v{server.version}: {server_state(server)}"
        for server, _ in found
        if (server.model, server.version) in pinned
    ]


def _fields(out: DeploymentOut) -> RenderableType:
    rollout = None if out.rollout is None else rollouts.rollout_text(out.rollout)
    hide = ("webhook_secret", "warnings")
    return model_fields(out, hide=hide, models=models_text(out.models), rollout=rollout)


def _given(**options_: object) -> dict[str, object]:
    """Return the options that were given."""
    return {name: value for name, value in options_.items() if value is not None}
