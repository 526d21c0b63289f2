"""inference: calls a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.flows.cel.values import NodeValues
from gateway.flows.compile_context import CompileContext
from gateway.flows.config_fields import (
    ConfigForm,
    Widget,
    custom_field,
    expressions_field,
    text_field,
)
from gateway.flows.config_reader import ConfigReader
from gateway.flows.node_types.handler import (
    NodeError,
    NodeHandler,
    Perform,
    Prepare,
    RunContext,
)
from gateway.flows.node_types.presentation import NodeGroup, NodePresentation
from gateway.flows.ports import ModelCall


@dataclass(frozen=True, slots=True, kw_only=True)
class Inference:
    """The configuration."""

    model: str
    version: str
    """`latest`, a number or a label."""
    inputs: Mapping[str, str] | None
    """Tensor → expression; None: the outputs of the preceding node, by the same names."""


def _version(reader: ConfigReader) -> str:
    value = reader.members.get("version", "latest")
    if isinstance(value, str) and value:
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    reader.add_error("version", "expected 'latest', a number or a label")
    return ""


_MODEL = text_field(
    "model", "Model", "The model to call.", expected="the name of a model", widget=Widget.MODEL
)
_VERSION = custom_field(
    "version",
    "Version",
    "latest, a number or a label; pinned when the flow is deployed.",
    widget=Widget.MODEL_VERSION,
    schema={"type": ["string", "integer"], "minLength": 1, "default": "latest"},
    read=_version,
)
_INPUTS = expressions_field(
    "inputs",
    "Inputs",
    "Tensor → expression. Without inputs: the output of the preceding node, by the same names.",
)
_FORM = ConfigForm(fields=(_MODEL, _VERSION, _INPUTS), is_closed=False)


def _read(reader: ConfigReader) -> Inference:
    return Inference(
        model=_MODEL.read(reader), version=_VERSION.read(reader), inputs=_INPUTS.read(reader)
    )


def _prepare(config: Inference, context: CompileContext) -> Prepare:
    if config.inputs is not None:
        return context.fields("inputs", config.inputs).evaluate
    if len(context.before) != 1:
        detail = (
            f"{len(context.before)} nodes precede this one: give inputs, each with an expression"
        )
        context.add_error("inputs", detail)
    source = context.before[0] if context.before else ""
    return lambda values: _output_of(source, values)


def _output_of(source: str, values: NodeValues) -> dict[str, Any]:
    inputs = values[source]
    if type(inputs) is not dict:
        message = f"expected the output of '{source}' to be an object with the model's inputs"
        raise NodeError("invalid_value", message, unfit_value=True)
    return inputs


def _perform(config: Inference, context: CompileContext) -> Perform:
    node_id = context.node_id

    async def infer(run: RunContext, inputs: dict[str, Any]) -> dict[str, Any]:
        call = ModelCall(
            node_id=node_id,
            model=config.model,
            version=config.version,
            inputs=inputs,
            exact=config.inputs is not None,
        )
        return await run.ports.inference.infer(call, run.deadline)

    return infer


HANDLER = NodeHandler(
    type="inference",
    shown=NodePresentation(
        title="Inference",
        description="Calls a model.",
        icon="brain",
        group=NodeGroup.MODEL,
        initial={"model": ""},
    ),
    form=_FORM,
    read=_read,
    prepare=_prepare,
    perform=_perform,
)
