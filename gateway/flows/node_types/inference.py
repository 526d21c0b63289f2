"""inference: calls a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.flows.compile_context import CompileContext
from gateway.flows.config_reader import ConfigReader
from gateway.flows.node_types.handler import NodeError, NodeHandler, NodeStep, RunContext
from gateway.flows.ports import ModelCall


@dataclass(frozen=True, slots=True, kw_only=True)
class Inference:
    """The configuration."""

    model: str
    version: str
    """`latest`, a number or a label."""
    inputs: Mapping[str, str] | None
    """Tensor → expression; None: the outputs of the preceding node, by the same names."""


def _read(reader: ConfigReader) -> Inference:
    return Inference(
        model=reader.text("model", "the name of a model"),
        version=_version(reader),
        inputs=reader.expressions("inputs"),
    )


def _version(reader: ConfigReader) -> str:
    value = reader.members.get("version", "latest")
    if isinstance(value, str) and value:
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    reader.add_error("version", "expected 'latest', a number or a label")
    return ""


def _compile(config: Inference, context: CompileContext) -> NodeStep:
    if config.inputs is None:
        return _compile_pass_through(config, context)
    fields = context.fields("inputs", config.inputs)

    async def perform(run: RunContext) -> dict[str, Any]:
        inputs = fields.evaluate(run.values)
        return await _infer(config, context.node_id, inputs, run, exact=True)

    return NodeStep(perform=perform)


def _compile_pass_through(config: Inference, context: CompileContext) -> NodeStep:
    if len(context.before) != 1:
        detail = (
            f"{len(context.before)} nodes precede this one: give inputs, each with an expression"
        )
        context.add_error("inputs", detail)
    source = context.before[0] if context.before else ""

    async def perform(run: RunContext) -> dict[str, Any]:
        inputs = run.values[source]
        if type(inputs) is not dict:
            message = f"expected the output of '{source}' to be an object with the model's inputs"
            raise NodeError("invalid_value", message)
        return await _infer(config, context.node_id, inputs, run, exact=False)

    return NodeStep(perform=perform)


async def _infer(
    config: Inference, node_id: str, inputs: Mapping[str, Any], run: RunContext, *, exact: bool
) -> dict[str, Any]:
    call = ModelCall(
        node_id=node_id, model=config.model, version=config.version, inputs=inputs, exact=exact
    )
    return await run.ports.inference.infer(call, run.deadline)


HANDLER = NodeHandler(type="inference", read=_read, compile=_compile)
