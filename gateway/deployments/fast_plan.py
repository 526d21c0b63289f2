"""The fast plan: a flow of api_input → inference → api_output, as two lists of tensors. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.errors import GatewayError
from gateway.flows.cel.paths import parse_path
from gateway.flows.node_types.api_output import ApiOutput
from gateway.flows.node_types.inference import Inference
from gateway.flows.spec import FlowSpec, NodeType
from gateway.models.pins import Pin, TensorSpec
from protos.errors import ErrorCode

_SHAPE = (NodeType.API_INPUT, NodeType.INFERENCE, NodeType.API_OUTPUT)


@dataclass(frozen=True, slots=True, kw_only=True)
class FastInput:
    """One tensor to send."""

    name: str
    path: tuple[str, ...]
    """Where its value lies in `input_data`; () is `input_data` itself."""
    spec: TensorSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class FastOutput:
    """One field of `output_data`."""

    field: str
    name: str
    """The tensor whose value it takes."""
    spec: TensorSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class FastPlan:
    """All that a fast call has to know of its flow."""

    model: str
    version: int
    inputs: tuple[FastInput, ...]
    outputs: tuple[FastOutput, ...]


class _UnfitError(Exception):
    """Why a flow has no fast plan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chain:
    """The three nodes of a fast flow."""

    source: str
    model: str
    asks: Inference
    answers: ApiOutput


def compile_plan(flow: FlowSpec, pins: Mapping[str, Pin]) -> FastPlan:
    """Return the plan for `flow`, whose inference nodes ask the models in `pins` (by node id).

    Raises:
        GatewayError: INVALID_FLOW with the node and the reason, where the flow needs the engine.
    """
    plan = find_plan(flow, pins)
    if isinstance(plan, str):
        message = (
            f"this flow cannot be deployed as fast: {plan}. Change the flow and what its callers "
            "send, or deploy it in mode sync or async"
        )
        raise GatewayError(ErrorCode.INVALID_FLOW, message)
    return plan


def find_plan(flow: FlowSpec, pins: Mapping[str, Pin]) -> FastPlan | str:
    """Return the plan for `flow`, as `compile_plan`, or why it has none."""
    try:
        chain = _chain(flow)
        pin = pins[chain.model]
        return FastPlan(
            model=pin.model,
            version=pin.version,
            inputs=_inputs(chain, pin),
            outputs=_outputs(chain, pin),
        )
    except _UnfitError as reason:
        return str(reason)


def _chain(flow: FlowSpec) -> _Chain:
    for node_type in _SHAPE:
        count = len(flow.of_type(node_type))
        if count != 1:
            raise _UnfitError(f"expected one {node_type} node, there are {count}")
    for node in flow.nodes:
        if node.type not in _SHAPE:
            raise _UnfitError(f"node '{node.id}' ({node.type}) needs the flow engine")
    source, model, target = sorted(flow.nodes, key=lambda node: _SHAPE.index(node.type))
    wanted = {(source.id, model.id), (model.id, target.id)}
    edges = {(edge.source, edge.target) for edge in flow.edges}
    for start, end in sorted(wanted - edges):
        raise _UnfitError(f"expected an edge from '{start}' to '{end}'")
    for start, end in sorted(edges - wanted):
        raise _UnfitError(f"the edge from '{start}' to '{end}' leads past the model")
    match model.config, target.config:
        case Inference() as asks, ApiOutput() as answers:
            return _Chain(source=source.id, model=model.id, asks=asks, answers=answers)
    raise TypeError(f"{model!r} and {target!r} have configurations of other types")


def _inputs(chain: _Chain, pin: Pin) -> tuple[FastInput, ...]:
    for name, onnx_type in pin.unsupported_inputs.items():
        raise _UnfitError(f"input '{name}' of {pin.model} is {onnx_type}, no tensor")
    specs = {spec.name: spec for spec in pin.inputs}
    mapping = chain.asks.inputs
    if mapping is None:
        return tuple(FastInput(name=name, path=(name,), spec=specs[name]) for name in specs)
    for name in mapping:
        if name not in specs:
            raise _UnfitError(f"{pin.model} has no input '{name}', it has {_listed(specs)}")
    for spec in pin.inputs:
        if spec.name not in mapping and not spec.optional:
            raise _UnfitError(f"node '{chain.model}' gives no value for the input '{spec.name}'")
    return tuple(
        FastInput(name=name, path=_path(expression, chain.source), spec=specs[name])
        for name, expression in mapping.items()
    )


def _outputs(chain: _Chain, pin: Pin) -> tuple[FastOutput, ...]:
    specs = {spec.name: spec for spec in pin.outputs}
    fields = chain.answers.fields
    names = (
        {name: name for name in specs}
        if fields is None
        else {field: _tensor(path, chain.model, pin) for field, path in fields.items()}
    )
    return tuple(
        FastOutput(field=field, name=name, spec=specs[name]) for field, name in names.items()
    )


def _tensor(expression: str, node_id: str, pin: Pin) -> str:
    """Return the output that `expression` names."""
    names = _path(expression, node_id)
    if len(names) != 1:
        raise _UnfitError(f"'{expression}': expected one output of '{node_id}', and no part of it")
    (name,) = names
    if name in pin.unsupported_outputs:
        raise _UnfitError(f"output '{name}' of {pin.model} is {pin.unsupported_outputs[name]}")
    known = [spec.name for spec in pin.outputs]
    if name not in known:
        raise _UnfitError(f"{pin.model} has no output '{name}', it has {_listed(known)}")
    return name


def _path(expression: str, node_id: str) -> tuple[str, ...]:
    """Return the names that lead from the node's value to the one that `expression` means."""
    path = parse_path(expression)
    if path is None:
        raise _UnfitError(f"'{expression}' is more than a path such as '{node_id}.x'")
    if path.node != node_id:
        raise _UnfitError(f"'{expression}': expected a value of '{node_id}'")
    return path.names


def _listed(names: Mapping[str, TensorSpec] | list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names) or "none"
