"""api_output: builds the call's `output_data`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.flows.cel.values import NodeValues
from gateway.flows.compile_context import CompileContext
from gateway.flows.config_fields import ConfigForm, expressions_field
from gateway.flows.config_reader import ConfigReader
from gateway.flows.node_types.handler import NodeHandler, Prepare
from gateway.flows.node_types.presentation import NodeGroup, NodePresentation

_FIELDS = expressions_field(
    "fields",
    "Fields",
    "Field of output_data → expression. Without fields: all outputs of the preceding nodes.",
)
_FORM = ConfigForm(fields=(_FIELDS,), is_closed=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiOutput:
    """The configuration."""

    fields: Mapping[str, str] | None
    """Field of `output_data` → expression; None: all outputs of the preceding nodes."""


def _read(reader: ConfigReader) -> ApiOutput:
    return ApiOutput(fields=_FIELDS.read(reader))


def _prepare(config: ApiOutput, context: CompileContext) -> Prepare:
    if config.fields is not None:
        return context.fields("fields", config.fields).evaluate
    before = context.before
    return lambda values: _outputs_before(before, values)


def _outputs_before(before: Sequence[str], values: NodeValues) -> dict[str, Any]:
    """Return the outputs of the preceding nodes: of a single one its members, otherwise by id."""
    if len(before) != 1:
        return {node_id: values[node_id] for node_id in before}
    value = values[before[0]]
    return value if type(value) is dict else {"result": value}


HANDLER = NodeHandler(
    type="api_output",
    shown=NodePresentation(
        title="API output",
        description="Builds the call's output_data.",
        icon="log-out",
        group=NodeGroup.ENDPOINT,
        has_output=False,
    ),
    form=_FORM,
    read=_read,
    prepare=_prepare,
)
