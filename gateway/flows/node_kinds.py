"""Describes the node types, the functions of expressions and the installed Python nodes. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any

from gateway.flows.config_fields import ConfigForm, Json, Widget
from gateway.flows.node_types.handler import NodeHandler
from gateway.flows.node_types.presentation import NodeGroup
from gateway.flows.node_types.python import GROUP
from gateway.flows.node_types.registry import HANDLERS

_ID = "https://json-schema.org/draft/2020-12/schema"
_CASE = "case"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeKind:
    """A node type, as an editor presents it."""

    type: str
    title: str
    description: str
    icon: str
    group: NodeGroup
    config_schema: Json
    order: Sequence[str]
    """The members of the configuration."""
    widgets: Mapping[str, Widget]
    inputs: Sequence[str]
    outputs: Sequence[str]
    defaults: Json
    """The configuration of a new node."""

    @property
    def docs_url(self) -> str:
        """Where the type is documented, in the source tree."""
        return f"docs/flows.md#{self.type}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonNode:
    """An installed function of `python` nodes."""

    name: str
    package: str | None
    """The distribution that registers it."""
    version: str | None
    """Of the distribution."""


def node_kinds() -> list[NodeKind]:
    """Return all node types, in the order of the registry."""
    return [_kind(handler) for handler in HANDLERS.values()]


def python_nodes() -> list[PythonNode]:
    """Return the installed Python nodes by name, without importing them. Reads the disk."""
    found = {
        point.name: PythonNode(
            name=point.name,
            package=point.dist.name if point.dist else None,
            version=point.dist.version if point.dist else None,
        )
        for point in entry_points(group=GROUP)
    }
    return [found[name] for name in sorted(found)]


# Any: each type has its own configuration class
def _kind(handler: NodeHandler[Any]) -> NodeKind:
    shown, form = handler.shown, handler.form
    return NodeKind(
        type=handler.type,
        title=shown.title,
        description=shown.description,
        icon=shown.icon,
        group=shown.group,
        config_schema={"$schema": _ID, **form.schema()},
        order=[field.name for field in form.all_fields],
        widgets={field.name: field.widget for field in form.all_fields},
        inputs=["in"] if shown.has_input else [],
        outputs=_outputs(handler),
        defaults={**_defaults(form), **shown.initial},
    )


def _outputs(handler: NodeHandler[Any]) -> list[str]:
    if handler.cases is not None:
        return [_CASE]
    return ["out"] if handler.shown.has_output else []


def _defaults(form: ConfigForm) -> Json:
    return {
        field.name: field.schema["default"] for field in form.fields if "default" in field.schema
    }
