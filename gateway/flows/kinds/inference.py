"""inference: asks a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.flows.kinds.kind import Kind, Moment, Step, StepError
from gateway.flows.ports import InferenceCall
from gateway.flows.reader import Reader
from gateway.flows.scope import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Inference:
    """Which model to ask, and with what."""

    model: str
    version: str
    """`latest`, a number or a label."""
    inputs: Mapping[str, str] | None
    """Tensor → expression; None: what the node before gave, by the same names."""


def _read(reader: Reader) -> Inference:
    return Inference(
        model=reader.text("model", "the name of a model"),
        version=_version(reader),
        inputs=reader.expressions("inputs"),
    )


def _version(reader: Reader) -> str:
    value = reader.members.get("version", "latest")
    if isinstance(value, str) and value:
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    reader.complain("version", "expected 'latest', a number or a label")
    return ""


def _compile(config: Inference, scope: Scope) -> Step:
    if config.inputs is None:
        return _whole(config, scope)
    fields = scope.fields("inputs", config.inputs)

    async def perform(moment: Moment) -> dict[str, Any]:
        inputs = fields.evaluate(moment.values)
        return await _ask(config, scope.node_id, inputs, moment, exact=True)

    return Step(perform=perform)


def _whole(config: Inference, scope: Scope) -> Step:
    if len(scope.before) != 1:
        detail = f"{len(scope.before)} nodes lead here: name the inputs, each with an expression"
        scope.complain("inputs", detail)
    source = scope.before[0] if scope.before else ""

    async def perform(moment: Moment) -> dict[str, Any]:
        inputs = moment.values[source]
        if type(inputs) is not dict:
            message = f"expected '{source}' to give an object with the model's inputs"
            raise StepError("invalid_value", message)
        return await _ask(config, scope.node_id, inputs, moment, exact=False)

    return Step(perform=perform)


async def _ask(
    config: Inference, node_id: str, inputs: Mapping[str, Any], moment: Moment, *, exact: bool
) -> dict[str, Any]:
    call = InferenceCall(
        node_id=node_id, model=config.model, version=config.version, inputs=inputs, exact=exact
    )
    return await moment.ports.inference.infer(call, moment.deadline)


KIND = Kind(type="inference", read=_read, compile=_compile)
