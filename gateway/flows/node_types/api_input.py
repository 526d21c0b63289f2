"""api_input: provides the call's `input_data`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.flows.cel.values import INPUT_DATA
from gateway.flows.compile_context import CompileContext
from gateway.flows.config_fields import ConfigForm, Widget, choice_field, object_field
from gateway.flows.config_reader import ConfigReader
from gateway.flows.node_types.handler import NodeHandler, Prepare
from gateway.flows.node_types.presentation import NodeGroup, NodePresentation

_SCHEMA = object_field(
    "schema", "Schema", "JSON Schema (2020-12) of input_data.", widget=Widget.JSON_SCHEMA
)
_TEST_DATA = object_field("test_data", "Test data", "An example of input_data.")
_ADDITIONAL = choice_field(
    "additional_inputs",
    "Additional inputs",
    "Whether inputs that the schema's properties do not name are dropped or refused.",
    choices=("ignore", "reject"),
    default="ignore",
)
_FORM = ConfigForm(fields=(_SCHEMA, _TEST_DATA, _ADDITIONAL), is_closed=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiInput:
    """The configuration. Any: JSON."""

    schema: Mapping[str, Any] | None
    """JSON Schema (2020-12) of `input_data`."""
    test_data: Mapping[str, Any] | None
    """An example of `input_data`."""
    additional_inputs: str = "ignore"
    """`ignore` drops inputs that the schema's `properties` do not name; `reject` refuses them."""


def _read(reader: ConfigReader) -> ApiInput:
    config = ApiInput(
        schema=_SCHEMA.read(reader),
        test_data=_TEST_DATA.read(reader),
        additional_inputs=_ADDITIONAL.read(reader),
    )
    if config.additional_inputs == "reject" and not (config.schema or {}).get("properties"):
        reader.add_error("additional_inputs", "reject needs a schema with properties")
    return config


def _prepare(config: ApiInput, context: CompileContext) -> Prepare:
    if config.schema is not None:
        context.schema("schema", config.schema)
    return lambda values: values[INPUT_DATA]


HANDLER = NodeHandler(
    type="api_input",
    shown=NodePresentation(
        title="API input",
        description="Provides the call's input_data.",
        icon="log-in",
        group=NodeGroup.ENDPOINT,
        has_input=False,
    ),
    form=_FORM,
    read=_read,
    prepare=_prepare,
)
