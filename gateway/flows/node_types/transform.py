"""transform: computes values from the outputs of other nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.flows.compile_context import CompileContext
from gateway.flows.config_fields import (
    ConfigForm,
    ConfigOption,
    Widget,
    expressions_field,
    text_field,
)
from gateway.flows.config_reader import ConfigReader
from gateway.flows.node_types.handler import NodeHandler, Prepare
from gateway.flows.node_types.presentation import NodeGroup, NodePresentation

_FIELDS = expressions_field("fields", "Fields", "Name → expression; the output is an object.")
_EXPRESSION = text_field(
    "expression",
    "Expression",
    "The output is the value of this expression.",
    expected="an expression, such as 'input.x'",
    widget=Widget.EXPRESSION,
)
_FORM = ConfigForm(
    options=(
        ConfigOption(title="An object", fields=(_FIELDS,)),
        ConfigOption(title="A single value", fields=(_EXPRESSION,)),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transform:
    """The configuration: one of the two is set."""

    fields: Mapping[str, str] | None
    """Name → expression; the output is an object."""
    expression: str | None
    """The output is the value of this expression."""


def _read(reader: ConfigReader) -> Transform:
    reader.allow_only(_FORM.names)
    if ("fields" in reader.members) == ("expression" in reader.members):
        reader.add_error("fields", "expected either fields or expression")
        return Transform(fields={}, expression=None)
    if "fields" in reader.members:
        return Transform(fields=_FIELDS.read(reader) or {}, expression=None)
    return Transform(fields=None, expression=_EXPRESSION.read(reader))


def _prepare(config: Transform, context: CompileContext) -> Prepare:
    if config.fields is not None:
        return context.fields("fields", config.fields).evaluate
    return context.expression("expression", config.expression or "null").evaluate


HANDLER = NodeHandler(
    type="transform",
    shown=NodePresentation(
        title="Transform",
        description="Computes values from the outputs of other nodes.",
        icon="sigma",
        group=NodeGroup.DATA,
        initial={"expression": "null"},
    ),
    form=_FORM,
    read=_read,
    prepare=_prepare,
)
