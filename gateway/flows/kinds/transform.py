"""transform: computes values from other nodes' outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.flows.kinds.kind import Kind, Step
from gateway.flows.reader import Reader
from gateway.flows.scope import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Transform:
    """One of the two."""

    fields: Mapping[str, str] | None
    """Name → expression; the output is an object of these."""
    expression: str | None
    """The output is its value."""


def _read(reader: Reader) -> Transform:
    reader.known({"fields", "expression"})
    if ("fields" in reader.members) == ("expression" in reader.members):
        reader.complain("fields", "expected either fields or expression")
        return Transform(fields={}, expression=None)
    if "fields" in reader.members:
        return Transform(fields=reader.expressions("fields") or {}, expression=None)
    expression = reader.text("expression", "an expression, such as 'input.x'")
    return Transform(fields=None, expression=expression)


def _compile(config: Transform, scope: Scope) -> Step:
    if config.fields is not None:
        fields = scope.fields("fields", config.fields)
        return Step(compute=lambda moment: fields.evaluate(moment.values))
    expression = scope.expression("expression", config.expression or "null")
    return Step(compute=lambda moment: expression.evaluate(moment.values))


KIND = Kind(type="transform", read=_read, compile=_compile)
