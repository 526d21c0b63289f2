"""`slipstream deployments`: flows behind stable URLs."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.deployments.modes import DeploymentType, ExecutionMode, ResponseFormat
from gateway.deployments.schemas import (
    DeploymentIn,
    DeploymentOut,
    DeploymentPage,
    NewDeploymentOut,
)
from slipstream import options
from slipstream.session import checked, open_session
from slipstream.terminal import facts, table

commands = typer.Typer(no_args_is_help=True)


def register(application: typer.Typer, noun: str, text: str) -> None:
    """Add the commands."""
    application.add_typer(commands, name=noun, help=text)


@commands.command("create")
def create(
    *,
    flow: Annotated[str, typer.Option(help="Id of the flow to deploy.", metavar="ID")],
    mode: Annotated[ExecutionMode, typer.Option(help="How it answers.")] = ExecutionMode.SYNC,
    name: Annotated[str | None, typer.Option(help="Default: the flow's name.")] = None,
    type_: Annotated[
        DeploymentType, typer.Option("--type", help="Where the flow runs.")
    ] = DeploymentType.API,
    timeout: Annotated[int, typer.Option(help="Seconds that a call may take.")] = 3600,
    response_format: Annotated[
        ResponseFormat, typer.Option(help="Form of the answers.")
    ] = ResponseFormat.FLAT,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Deploy a flow. Where no key covers it yet, one is made and printed, for the only time.

    [dim]slipstream deployments create --flow 0b9c… --mode fast[/]
    """
    with open_session(state, as_json=as_json) as session:
        new = checked(
            DeploymentIn,
            flow_id=flow,
            name=name,
            execution_mode=mode,
            deployment_type=type_,
            timeout_seconds=timeout,
            response_format=response_format,
        )
        deployed = session.run(
            session.services.deployments.create(session.profile_id, new.flow_id, new.settings())
        )
        out = NewDeploymentOut.of(deployed)
        session.terminal.show(
            out,
            f"Deployment '{out.name}' {out.id}: POST {out.trigger_path}",
            *([f"API key, shown only now: {out.api_key.key}"] if out.api_key else []),
        )
        for pinned in out.models:
            session.terminal.note(
                "If no inference server runs for it yet: "
                f"slipstream models serve {pinned.model} --version {pinned.version}"
            )


@commands.command("list")
def list_deployments(
    *, state: options.State = options.DEFAULT_STATE, as_json: options.Json = False
) -> None:
    """List the deployments, newest first."""
    with open_session(state, as_json=as_json) as session:
        deployments = session.services.deployments
        page = DeploymentPage.of(
            session.everything(lambda at: deployments.page(session.profile_id, at))
        )
        rows = [
            (out.id, out.name, out.execution_mode, out.version, _models(out), out.created_at)
            for out in page.items
        ]
        columns = ("id", "name", "mode", "version", "models", "created")
        none = "There are no deployments: make one with `slipstream deployments create --flow ID`."
        session.terminal.show(page, table(columns, rows, empty=none))


@commands.command("show")
def show(
    deployment_id: Annotated[str, typer.Argument(help="Id of the deployment.", metavar="ID")],
    *,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Show one deployment."""
    with open_session(state, as_json=as_json) as session:
        deployments = session.services.deployments
        out = DeploymentOut.of(session.run(deployments.get(session.profile_id, deployment_id)))
        values = {**out.model_dump(), "models": _models(out)}
        session.terminal.show(out, facts(**values))


def _models(out: DeploymentOut) -> list[str]:
    return [f"{pinned.model} {pinned.version}" for pinned in out.models]
