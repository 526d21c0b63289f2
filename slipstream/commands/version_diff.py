"""Shows what differs between two versions of a deployment."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from gateway.deployments.version_schemas import (
    DifferenceOut,
    ModelVersionOut,
)
from slipstream.commands.tables import short_json

_ADDED, _REMOVED, _CHANGED, _BREAKING = "green", "red", "yellow", "bold red"


def difference_views(found: DifferenceOut) -> list[RenderableType]:
    """Return a line for each difference, and warnings."""
    title = f"{_side(found.before)} → {_side(found.after)}"
    lines = [*_node_lines(found), *_edge_lines(found), *_model_lines(found), *_schema_lines(found)]
    if found.same:
        lines.append(Text("The versions do the same."))
    elif found.input_schema.breaking:
        warning = "Bodies that were accepted before may be rejected: see the lines with !"
        lines.append(Text(warning, _BREAKING))
    if found.problem is not None:
        lines.append(Text(f"The draft cannot be deployed: {found.problem}", _BREAKING))
    return [Text(title, "bold"), *lines]


def _node_lines(found: DifferenceOut) -> Iterator[Text]:
    for node in found.nodes.added:
        yield Text(f"+ node {node['id']} ({node['type']})", _ADDED)
    for node in found.nodes.removed:
        yield Text(f"- node {node['id']} ({node['type']})", _REMOVED)
    for changed in found.nodes.changed:
        for field in changed.fields:
            values = f"{short_json(field.before)} → {short_json(field.after)}"
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
        values = f"{short_json(change.before)} → {short_json(change.after)}"
        yield Text(f"{sign} input {change.pointer}: {values} ({change.reason})", style)


def _model(version: ModelVersionOut | None) -> str:
    return "none" if version is None else f"{version.model} {version.version}"


def _side(label: str) -> str:
    return label if label == "draft" else f"version {label}"
