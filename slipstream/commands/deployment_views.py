"""How deployments, their versions and their differences are shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import orjson
from rich.console import RenderableType
from rich.text import Text

from gateway.deployments.schemas import DeploymentOut, PinnedModel
from gateway.deployments.version_schemas import (
    DifferenceOut,
    ModelVersionOut,
    VersionOut,
    VersionSummary,
)
from slipstream.options import limits_text
from slipstream.terminal import facts, table

_ADDED, _REMOVED, _CHANGED, _BREAKING = "green", "red", "yellow", "bold red"
_LONGEST = 60


def deployment_row(out: DeploymentOut) -> tuple[object, ...]:
    """Return the cells of a deployment: id, name, type, mode, status, version, models, created."""
    version = f"{out.version}, draft differs" if out.draft_differs else str(out.version)
    return (
        out.id,
        out.name,
        out.deployment_type,
        out.execution_mode,
        out.status,
        version,
        models_text(out.models),
        out.created_at,
    )


def deployment_facts(out: DeploymentOut) -> RenderableType:
    """Return everything about a deployment."""
    shown = {"models": models_text(out.models), "limits": limits_text(out.limits)}
    return facts(**{**out.model_dump(), **shown})


def models_text(models: Iterable[PinnedModel]) -> list[str]:
    """Return models with their versions."""
    return [f"{pinned.model} {pinned.version}" for pinned in models]


def version_row(version: VersionSummary) -> tuple[object, ...]:
    """Return the cells of a version: number, live, name, description, models, created, by."""
    return (
        version.version,
        "live" if version.live else None,
        version.name,
        version.description,
        models_text(version.models),
        version.created_at,
        version.created_by_key or "command line",
    )


def version_views(version: VersionOut) -> list[RenderableType]:
    """Return what is known about a version, and its nodes."""
    values = version.model_dump(exclude={"nodes", "edges", "models", "input_schema"})
    schema = version.input_schema
    nodes = [(node["id"], node["type"], _short(node.get("config", {}))) for node in version.nodes]
    return [
        facts(
            **values,
            models=models_text(version.models),
            input_schema=None if schema is None else _short(schema),
        ),
        "",
        table(("node", "type", "config"), nodes, empty="It has no nodes."),
    ]


def difference_views(found: DifferenceOut) -> list[RenderableType]:
    """Return a line for everything that differs, and what to think of it."""
    title = f"{_side(found.before)} → {_side(found.after)}"
    lines = [*_node_lines(found), *_edge_lines(found), *_model_lines(found), *_schema_lines(found)]
    if found.same:
        lines.append(Text("They do the same."))
    elif found.input_schema.breaking:
        warning = "Bodies that were accepted before may be refused: see the lines with !"
        lines.append(Text(warning, _BREAKING))
    if found.problem is not None:
        lines.append(Text(f"It cannot be deployed as it is: {found.problem}", _BREAKING))
    return [Text(title, "bold"), *lines]


def _node_lines(found: DifferenceOut) -> Iterator[Text]:
    for node in found.nodes.added:
        yield Text(f"+ node {node['id']} ({node['type']})", _ADDED)
    for node in found.nodes.removed:
        yield Text(f"- node {node['id']} ({node['type']})", _REMOVED)
    for changed in found.nodes.changed:
        for field in changed.fields:
            values = f"{_short(field.before)} → {_short(field.after)}"
            yield Text(f"~ node {changed.id} {field.pointer}: {values}", _CHANGED)


def _edge_lines(found: DifferenceOut) -> Iterator[Text]:
    for edge in found.edges.added:
        yield Text(f"+ edge {edge['source']} → {edge['target']}", _ADDED)
    for edge in found.edges.removed:
        yield Text(f"- edge {edge['source']} → {edge['target']}", _REMOVED)


def _model_lines(found: DifferenceOut) -> Iterator[Text]:
    for change in found.models:
        tensors = ", with other tensors" if change.signature_changed else ""
        versions = f"{_model(change.before)} → {_model(change.after)}"
        yield Text(f"~ model of {change.node}: {versions}{tensors}", _CHANGED)


def _schema_lines(found: DifferenceOut) -> Iterator[Text]:
    for change in found.input_schema.changes:
        sign, style = ("!", _BREAKING) if change.breaking else ("~", _CHANGED)
        values = f"{_short(change.before)} → {_short(change.after)}"
        yield Text(f"{sign} input {change.pointer}: {values} ({change.reason})", style)


def _model(version: ModelVersionOut | None) -> str:
    return "none" if version is None else f"{version.model} {version.version}"


def _side(label: str) -> str:
    return label if label == "draft" else f"version {label}"


def _short(value: object) -> str:
    if value is None:
        return "nothing"
    text = orjson.dumps(value).decode()
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
