"""`slipstream deployments redeploy | versions | describe | promote | diff`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import typer
from rich.console import RenderableType

from gateway.deployments.schemas import DeploymentOut, PinnedModel
from gateway.deployments.version_schemas import (
    DifferenceOut,
    VersionNoteIn,
    VersionOut,
    VersionPage,
    VersionSummary,
)
from gateway.deployments.versions import DRAFT, LIVE
from gateway.storage.tables import Deployment
from slipstream import options
from slipstream.commands.tables import Columns, model_fields, model_list, short_json
from slipstream.commands.version_diff import difference_views
from slipstream.id_prefix import whole_id
from slipstream.session import CommandSession, open_session, validated
from slipstream.terminal import table

DeploymentId = Annotated[
    str,
    typer.Argument(
        help="Id or name of the deployment.", metavar="ID", callback=whole_id(Deployment)
    ),
]
Number = Annotated[int, typer.Argument(help="Number of the version.", metavar="VERSION", min=1)]


COLUMNS: Columns[VersionSummary] = {
    "version": "version",
    "": lambda version: "live" if version.live else None,
    "name": "name",
    "created": "created_at",
    "models": lambda version: models_text(version.models),
    "description": "description",
    "by key": lambda version: version.created_by_key or "command line",
}


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
    session.terminal.show(out, *_views(out))


def redeploy(
    deployment_id: DeploymentId,
    *,
    name: Annotated[str | None, typer.Option(help="Name of the new version.")] = None,
    description: Annotated[str | None, typer.Option(help="What changed.")] = None,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Deploy the flow's current draft to the same URL, as a new version.

    $ slipstream deployments redeploy 0b9c… --description "better features"
    """
    with open_session(state, as_json=as_json) as session:
        note = validated(VersionNoteIn, name=name, description=description).note()
        service = session.services.versions
        with session.terminal.progress("Deploying the draft"):
            deployed = session.run(service.redeploy(session.profile_id, deployment_id, note=note))
        _show_live(session, DeploymentOut.of(deployed, session.public_url))


def versions(
    deployment_id: DeploymentId,
    *,
    wide: options.Wide = False,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """List the versions, newest first."""
    with open_session(state, as_json=as_json, wide=wide) as session:
        service = session.services.versions
        page = VersionPage.of(
            session.fetch_all(lambda at: service.page(session.profile_id, deployment_id, at))
        )
        none = "There are no versions."
        session.terminal.show(page, model_list(page.items, COLUMNS, empty=none))


def describe(
    deployment_id: DeploymentId,
    number: Number,
    *,
    name: Annotated[str | None, typer.Option(help="Name of the version.")] = None,
    description: Annotated[str | None, typer.Option(help="Description of the version.")] = None,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Name or describe a version; what it runs does not change."""
    with open_session(state, as_json=as_json) as session:
        given = {"name": name, "description": description}
        note = validated(
            VersionNoteIn, **{field: text for field, text in given.items() if text is not None}
        )
        work = session.services.versions.describe(
            session.profile_id, deployment_id, number, **note.change()
        )
        out = VersionOut.of(session.run(work))
        session.terminal.show(out, *_views(out))


def promote(
    deployment_id: DeploymentId,
    number: Number,
    *,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Make another version live, for example to roll a redeploy back.

    $ slipstream deployments promote 0b9c… 3
    """
    with open_session(state, as_json=as_json) as session:
        service = session.services.versions
        with session.terminal.progress(f"Promoting version {number}"):
            deployed = session.run(service.promote(session.profile_id, deployment_id, number))
        _show_live(session, DeploymentOut.of(deployed, session.public_url))


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
    """Show the differences between two versions: nodes, edges, models, and the input schema.

    $ slipstream deployments diff 0b9c…          # what a redeploy would change
    $ slipstream deployments diff 0b9c… 2 live
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
    warn_about(session, out)


def warn_about(session: CommandSession, out: DeploymentOut) -> None:
    """Print the warnings about a deployment."""
    session.terminal.warn(warning.message for warning in out.warnings)


def models_text(models: Iterable[PinnedModel]) -> list[str]:
    """Return models with their versions."""
    return [f"{pinned.model} {pinned.version}" for pinned in models]


def _views(version: VersionOut) -> list[RenderableType]:
    nodes = [
        (node["id"], node["type"], short_json(node.get("config", {}))) for node in version.nodes
    ]
    schema = version.input_schema
    return [
        model_fields(
            version,
            hide=("nodes", "edges"),
            models=models_text(version.models),
            input_schema=None if schema is None else short_json(schema),
        ),
        "",
        table(("node", "type", "config"), nodes, empty="The version has no nodes."),
    ]
