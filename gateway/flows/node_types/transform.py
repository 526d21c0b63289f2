"""transform: computes values from the outputs of other nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.flows.compile_context import CompileContext
from gateway.flows.config_reader import ConfigReader
from gateway.flows.node_types.handler import NodeHandler, Prepare


@dataclass(frozen=True, slots=True, kw_only=True)
class Transform:
    """The configuration: one of the two is set."""

    fields: Mapping[str, str] | None
    """Name → expression; the output is an object."""
    expression: str | None
    """The output is the value of this expression."""


def _read(reader: ConfigReader) -> Transform:
    reader.allow_only({"fields", "expression"})
    if ("fields" in reader.members) == ("expression" in reader.members):
        reader.add_error("fields", "expected either fields or expression")
        return Transform(fields={}, expression=None)
    if "fields" in reader.members:
        return Transform(fields=reader.expressions("fields") or {}, expression=None)
    expression = reader.text("expression", "an expression, such as 'input.x'")
    return Transform(fields=None, expression=expression)


def _prepare(config: Transform, context: CompileContext) -> Prepare:
    if config.fields is not None:
        return context.fields("fields", config.fields).evaluate
    return context.expression("expression", config.expression or "null").evaluate


HANDLER = NodeHandler(type="transform", read=_read, prepare=_prepare)
