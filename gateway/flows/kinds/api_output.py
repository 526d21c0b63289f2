"""api_output: makes the call's `output_data`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.flows.kinds.kind import Kind, Moment, Step
from gateway.flows.reader import Reader
from gateway.flows.scope import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiOutput:
    """What callers get."""

    fields: Mapping[str, str] | None
    """Field of `output_data` → expression; None: all outputs of the node before."""


def _read(reader: Reader) -> ApiOutput:
    return ApiOutput(fields=reader.expressions("fields"))


def _compile(config: ApiOutput, scope: Scope) -> Step:
    if config.fields is not None:
        fields = scope.fields("fields", config.fields)
        return Step(compute=lambda moment: fields.evaluate(moment.values))
    before = scope.before
    return Step(compute=lambda moment: _passed(before, moment))


def _passed(before: Sequence[str], moment: Moment) -> dict[str, Any]:
    """Return what the nodes before gave: of one, its members; of several, each by its id."""
    if len(before) != 1:
        return {node_id: moment.values[node_id] for node_id in before}
    value = moment.values[before[0]]
    return value if type(value) is dict else {"result": value}


KIND = Kind(type="api_output", read=_read, compile=_compile)
