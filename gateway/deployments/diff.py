"""Compares two versions of a deployment: graph, models and input schema. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.deployments.graph_diff import GraphDiff, diff_graphs
from gateway.deployments.schema_diff import SchemaChange, accepted_schema, diff_schemas
from gateway.models.pins import Pin

# Any, throughout: JSON, as it is kept in `DeploymentVersion`
Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the two versions."""

    label: str
    """A number, or `draft`."""
    definition: Json
    models: Mapping[str, Json] | None
    """None if the models of a draft cannot be resolved."""
    problem: str | None = None
    """Why it cannot be deployed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedVersion:
    """A version of a model."""

    model: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelChange:
    """A node with another model or version."""

    node: str
    before: PinnedVersion | None
    after: PinnedVersion | None
    signature_changed: bool
    """Whether the tensors differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The difference between two versions."""

    before: str
    after: str
    graph: GraphDiff
    models: tuple[ModelChange, ...]
    input_schema: tuple[SchemaChange, ...]
    problem: str | None

    @property
    def same(self) -> bool:
        """Whether they behave the same."""
        return self.graph.empty and not self.models

    @property
    def breaking(self) -> bool:
        """Whether a previously valid body may be refused."""
        return any(change.breaking for change in self.input_schema)


def compare(before: Side, after: Side) -> Difference:
    """Compare two versions."""
    known = before.models is not None and after.models is not None
    return Difference(
        before=before.label,
        after=after.label,
        graph=diff_graphs(before.definition, after.definition),
        models=_models(before.models or {}, after.models or {}) if known else (),
        input_schema=diff_schemas(
            accepted_schema(before.definition), accepted_schema(after.definition)
        ),
        problem=after.problem or before.problem,
    )


def _models(before: Mapping[str, Json], after: Mapping[str, Json]) -> tuple[ModelChange, ...]:
    changed: list[ModelChange] = []
    for node in sorted(before.keys() | after.keys()):
        old, new = before.get(node), after.get(node)
        if _pinned(old) != _pinned(new):
            changed.append(
                ModelChange(
                    node=node,
                    before=_pinned(old),
                    after=_pinned(new),
                    signature_changed=_signature(old) != _signature(new),
                )
            )
    return tuple(changed)


def _pinned(pin: Json | None) -> PinnedVersion | None:
    return None if pin is None else PinnedVersion(model=pin["model"], version=pin["version"])


def _signature(stored: Json | None) -> object:
    if stored is None:
        return None
    pin = Pin.from_json(stored)
    return pin.inputs, pin.outputs
