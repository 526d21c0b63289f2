"""`slipstream deployments redeploy | versions | promote | diff`: what a deployment can run."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.deployments.schemas import DeploymentOut
from gateway.deployments.version_schemas import (
    DifferenceOut,
    VersionNoteIn,
    VersionOut,
    VersionPage,
)
from gateway.deployments.versions import DRAFT, LIVE
from slipstream import options
from slipstream.commands.deployment_views import (
    difference_views,
    models_text,
    version_row,
    version_views,
)
from slipstream.session import CommandSession, open_session, validated
from slipstream.terminal import table

DeploymentId = Annotated[str, typer.Argument(help="Id of the deployment.", metavar="ID")]
Number = Annotated[int, typer.Argument(help="Number of the version.", metavar="VERSION", min=1)]


def add_to(commands: typer.Typer) -> None:
    """Add the commands about versions."""
    commands.command("redeploy")(redeploy)
    commands.command("versions")(versions)
    commands.command("describe")(describe)
    commands.command("promote")(promote)
    commands.command("diff")(diff)


def show_version(session: CommandSession, deployment_id: str, number: int) -> None:
    """Show one version with its nodes."""
    service = session.services.versions
    out = VersionOut.of(session.run(service.get(session.profile_id, deployment_id, number)))
    session.terminal.show(out, *version_views(out))


def redeploy(
    deployment_id: DeploymentId,
    *,
    name: Annotated[str | None, typer.Option(help="What to call the new version.")] = None,
    description: Annotated[str | None, typer.Option(help="What is new in it.")] = None,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Push the flow's present draft to the same URL, as a new version.

    [dim]slipstream deployments redeploy 0b9c… --description "better features"[/]
    """
    with open_session(state, as_json=as_json) as session:
        note = validated(VersionNoteIn, name=name, description=description).note()
        service = session.services.versions
        with session.terminal.progress("Taking the draft over"):
            deployed = session.run(service.redeploy(session.profile_id, deployment_id, note=note))
        _show_live(session, DeploymentOut.of(deployed))


def versions(
    deployment_id: DeploymentId,
    *,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """List the versions, newest first."""
    with open_session(state, as_json=as_json) as session:
        service = session.services.versions
        page = VersionPage.of(
            session.fetch_all(lambda at: service.page(session.profile_id, deployment_id, at))
        )
        columns = ("version", "", "name", "description", "models", "created", "by key")
        rows = [version_row(version) for version in page.items]
        session.terminal.show(page, table(columns, rows, empty="There are no versions."))


def describe(
    deployment_id: DeploymentId,
    number: Number,
    *,
    name: Annotated[str | None, typer.Option(help="What to call the version.")] = None,
    description: Annotated[str | None, typer.Option(help="What is to know about it.")] = None,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Name or describe a version; what it runs never changes."""
    with open_session(state, as_json=as_json) as session:
        given = {"name": name, "description": description}
        note = validated(
            VersionNoteIn, **{field: text for field, text in given.items() if text is not None}
        )
        work = session.services.versions.describe(
            session.profile_id, deployment_id, number, **note.change()
        )
        out = VersionOut.of(session.run(work))
        session.terminal.show(out, *version_views(out))


def promote(
    deployment_id: DeploymentId,
    number: Number,
    *,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Make another version the live one, such as the one before a redeploy that went wrong.

    [dim]slipstream deployments promote 0b9c… 3[/]
    """
    with open_session(state, as_json=as_json) as session:
        service = session.services.versions
        with session.terminal.progress(f"Taking version {number} over"):
            deployed = session.run(service.promote(session.profile_id, deployment_id, number))
        _show_live(session, DeploymentOut.of(deployed))


def diff(
    deployment_id: DeploymentId,
    before: Annotated[
        str, typer.Argument(help="A version's number, `live` or `draft`.", metavar="[BEFORE]")
    ] = LIVE,
    after: Annotated[str, typer.Argument(help="Likewise.", metavar="[AFTER]")] = DRAFT,
    *,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Show what differs between two versions: nodes, edges, models, and what callers would notice.

    [dim]slipstream deployments diff 0b9c…[/]          what a redeploy would push
    [dim]slipstream deployments diff 0b9c… 2 live[/]
    """
    with open_session(state, as_json=as_json) as session:
        service = session.services.versions
        found = session.run(service.diff(session.profile_id, deployment_id, before, after))
        out = DifferenceOut.of(found)
        session.terminal.show(out, *difference_views(out))


def _show_live(session: CommandSession, out: DeploymentOut) -> None:
    models = ", ".join(models_text(out.models)) or "no models"
    line = f"Deployment '{out.name}': version {out.version} is live and runs {models}."
    session.terminal.show(out, line)
