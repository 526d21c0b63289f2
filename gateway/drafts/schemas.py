"""Request and response bodies of node kinds and of checks."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from gateway.deployments.schemas import FastOut
from gateway.drafts.flow_check import DraftCheck, Severity
from gateway.flows.cel.function_docs import FUNCTION_DOCS
from gateway.flows.config_fields import Widget
from gateway.flows.failure_policy import ON_ERROR_SCHEMA, RETRY_FORM
from gateway.flows.node_kinds import NodeKind, PythonNode
from gateway.flows.node_types.presentation import NodeGroup
from gateway.flows.schemas import EXAMPLE_GRAPH, Elements
from gateway.flows.validation import ProblemCode

# Any, throughout: JSON
Json = dict[str, Any]


class _Model(BaseModel):
    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True)


class NodeFormOut(_Model):
    """How an editor shows the members of a configuration."""

    order: list[str]
    """The members."""
    widgets: dict[str, Widget]
    """Member → how it is edited."""


class NodePortsOut(_Model):
    """Where edges lead to and away from."""

    inputs: list[str]
    """`in`, or nothing."""
    outputs: list[str]
    """`out`; `case`: one for each case of the node; or nothing."""


class NodeKindOut(_Model):
    """A node type."""

    type: str
    """The `type` of such a node."""
    title: str
    """What it is called, for people."""
    description: str
    """What it does, for people."""
    icon: str
    """The name of a Lucide icon."""
    group: NodeGroup
    """The group of node types in which an editor lists it."""
    config_schema: Json
    """JSON Schema (2020-12) of `config`. What depends on other nodes is found by a check."""
    ui: NodeFormOut
    """How an editor shows the members of `config`."""
    ports: NodePortsOut
    """Where edges lead to and away from such a node."""
    defaults: Json
    """The `config` of a new node."""
    docs_url: str
    """Where the type is documented, relative to the source tree."""

    @classmethod
    def of(cls, kind: NodeKind) -> Self:
        """Convert a node kind."""
        return cls(
            type=kind.type,
            title=kind.title,
            description=kind.description,
            icon=kind.icon,
            group=kind.group,
            config_schema=kind.config_schema,
            ui=NodeFormOut(order=list(kind.order), widgets=dict(kind.widgets)),
            ports=NodePortsOut(inputs=list(kind.inputs), outputs=list(kind.outputs)),
            defaults=kind.defaults,
            docs_url=kind.docs_url,
        )


class FunctionOut(_Model):
    """A function or macro of expressions."""

    name: str
    """The function's or macro's name in expressions."""
    signature: str
    """How it is called, with the types of arguments and result."""
    description: str
    """What it returns, for people."""


class PythonNodeOut(_Model):
    """An installed function of `python` nodes."""

    name: str
    """For `function` of the configuration."""
    package: str | None
    """The distribution that registers it."""
    version: str | None
    """Of the distribution."""


class NodePoliciesOut(_Model):
    """JSON Schemas of the members that every node may have beside its `config`."""

    retry: Json
    """JSON Schema of `retry`: how often a node that failed is tried again."""
    on_error: Json
    """JSON Schema of `on_error`: what happens if the node has failed."""


class NodeKindList(_Model):
    """The node types, and what their configurations may refer to."""

    items: list[NodeKindOut]
    """The node types."""
    policies: NodePoliciesOut
    """What every node may have beside its `config`."""
    functions: list[FunctionOut]
    """The functions and macros of expressions."""
    python: list[PythonNodeOut]
    """The installed functions of `python` nodes."""

    @classmethod
    def of(cls, kinds: list[NodeKind], python: list[PythonNode]) -> Self:
        """Convert node kinds and installed Python nodes."""
        return cls(
            items=[NodeKindOut.of(kind) for kind in kinds],
            policies=NodePoliciesOut(retry=RETRY_FORM.schema(), on_error=dict(ON_ERROR_SCHEMA)),
            functions=[FunctionOut.model_validate(doc) for doc in FUNCTION_DOCS],
            python=[PythonNodeOut.model_validate(node) for node in python],
        )


class DraftIn(BaseModel):
    """A flow that may have errors."""

    model_config = ConfigDict(
        use_attribute_docstrings=True, json_schema_extra={"examples": [EXAMPLE_GRAPH]}
    )

    nodes: Elements
    """The nodes of the graph: objects with `id`, `type` and `config`."""
    edges: Elements = []
    """The edges of the graph: objects with the ids of nodes as `source` and `target`, and `case`
    where the source is a `branch`."""

    @property
    def definition(self) -> Json:
        """The graph, as flows are stored."""
        return {"nodes": self.nodes, "edges": self.edges}


class ProblemOut(_Model):
    """A problem of a flow."""

    severity: Severity
    """`error`: the flow cannot be saved. `warning`: it cannot be deployed, as things are."""
    node_id: str | None
    """null: it is about an edge, or the flow."""
    pointer: str
    """JSON pointer into the sent document, such as `#/nodes/2/config/model`."""
    code: ProblemCode
    """A stable name for what is wrong, such as `invalid_expression`."""
    detail: str
    """The problem as a sentence for people."""


class ModelUseOut(_Model):
    """A model that a node calls."""

    node_id: str
    """Id of the node."""
    model: str
    """Name of the model."""
    version: str
    """As written: `latest`, a number or a label."""
    resolved: int | None
    """The version that a deployment would pin now; null: there is none."""


class DraftCheckOut(_Model):
    """What a check has found."""

    problems: list[ProblemOut]
    """At most 500; none: the flow can be deployed."""
    input_schema: Json | None
    """JSON Schema of `input_data`: the flow's own, or derived from its models if the flow has no
    problems."""
    fast: FastOut
    """Whether mode `fast` is possible, and if not, why."""
    models: list[ModelUseOut]
    """The models that its nodes call."""

    @classmethod
    def of(cls, check: DraftCheck) -> Self:
        """Convert a check."""
        return cls(
            problems=[ProblemOut.model_validate(problem) for problem in check.problems],
            input_schema=None if check.input_schema is None else dict(check.input_schema),
            fast=FastOut(possible=check.not_fast is None, reason=check.not_fast),
            models=[ModelUseOut.model_validate(use) for use in check.models],
        )
