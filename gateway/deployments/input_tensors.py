"""Values of `input_data` that models receive unchanged: packed, and checked against signatures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gateway.body_parsing.parser import LARGE_BODY_BYTES, BodyParser
from gateway.deployments.fast_plan import FastInput
from gateway.errors import GatewayError
from gateway.flows.cel.paths import parse_path
from gateway.flows.graph import predecessors
from gateway.flows.node_types.inference import Inference
from gateway.flows.plan import FlowPlan
from gateway.flows.spec import FlowSpec, NodeType
from gateway.models.pins import Pin
from protos import large_json
from protos.datatypes import DATATYPES, Datatype
from protos.errors import ErrorCode, TensorError
from protos.json_tensors import in_column_order, pack_json
from protos.tensors import check_shape

_MISSING = object()

InputData = Mapping[str, Any]
"""Any: a JSON object; large arrays in it may be NumberArrays."""
Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TensorInput:
    """An input, with what a call would otherwise look up."""

    source: FastInput
    datatype: Datatype
    key: str | None
    """The member of `input_data` that holds its value; None: follow `source.path`."""


def tensor_input(source: FastInput) -> TensorInput:
    """Prepare an input."""
    key = source.path[0] if len(source.path) == 1 else None
    return TensorInput(source, DATATYPES[source.spec.datatype], key)


def pack_inputs(
    inputs: Sequence[TensorInput], input_data: InputData
) -> tuple[list[Shape | None], list[bytes]]:
    """Return a shape for each input, None where an optional one is missing, and the contents.

    Raises:
        GatewayError: INVALID_INPUT where a value is missing, INVALID_TENSOR where it does not fit
            its datatype; both point into the body.
    """
    shapes: list[Shape | None] = []
    raws: list[bytes] = []
    for each in inputs:
        source = each.source
        if each.key is not None:
            value = input_data.get(each.key, _MISSING)
        else:
            value = _lookup(input_data, source.path)
        if value is _MISSING:
            if not source.spec.optional:
                raise _missing(source)
            shapes.append(None)
            continue
        try:
            columns = source.spec.columns
            if columns is not None and source.spec.shape is not None:
                rank = len(source.spec.shape)
                value = in_column_order(value, columns, rank, tensor=source.name)
            shape, raw = pack_json(value, each.datatype, tensor=source.name)
        except TensorError as error:
            raise _invalid_tensor(source, error) from None
        shapes.append(shape)
        raws.append(raw)
    return shapes, raws


def check_shapes(inputs: Sequence[TensorInput], shapes: Sequence[Shape | None]) -> None:
    """Check what `pack_inputs` returned.

    Raises:
        GatewayError: INVALID_TENSOR with the pointer of the first value of another shape.
    """
    for each, shape in zip(inputs, shapes, strict=True):
        source = each.source
        if shape is not None:
            try:
                check_shape(shape, source.spec.shape, tensor=source.name)
            except TensorError as error:
                raise _invalid_tensor(source, error) from None


class InputTensors:
    """The tensors that callers of one version of a flow send."""

    def __init__(self, sources: Sequence[FastInput]) -> None:
        self.sources = tuple(sources)
        self._inputs = [tensor_input(source) for source in sources]

    async def check(
        self,
        input_data: InputData | None,
        written: bytes,
        parser: BodyParser,
        tenant: str,
        deadline: float,
    ) -> None:
        """Check that each tensor is present and has the datatype and shape of its model's input.

        Args:
            input_data: what the flow receives; None: it has not been parsed here.
            written: the same as JSON, read instead by `parser` where the check takes long.
            parser: the body parsers.
            tenant: the user whose turn with them this takes.
            deadline: `time.monotonic()`.

        Raises:
            GatewayError: as `pack_inputs` and `check_shapes`; DEADLINE_EXCEEDED; those of
                `parser.run`.
        """
        if not self._inputs:
            return
        if input_data is not None and len(written) * len(self._inputs) <= LARGE_BODY_BYTES:
            _check(self._inputs, input_data)
            return
        await parser.run(tenant, deadline, _check_json, written, self.sources)


def input_tensors(flow: FlowSpec, plan: FlowPlan, pins: Mapping[str, Pin]) -> InputTensors:
    """Return the tensors that every run of `flow` passes from its `api_input` to its models.

    These are the plain paths, such as `input.x`, in inference nodes that no branch can skip and
    whose failure ends the run. What the flow's author got wrong is left to the run: names that the
    model or the schema of the `api_input` does not have.
    """
    found: dict[object, FastInput] = {}
    for source in _sources(flow, pins):
        if not source.path or plan.passes_input(source.path[0]):
            spec = source.spec
            found.setdefault((source.path, spec.datatype, spec.shape, spec.optional), source)
    return InputTensors(tuple(found.values()))


def _sources(flow: FlowSpec, pins: Mapping[str, Pin]) -> Iterator[FastInput]:
    before = predecessors((node.id for node in flow.nodes), flow.edges)
    for start in flow.of_type(NodeType.API_INPUT):
        reached = _always_reached(flow, start.id)
        for node in flow.nodes:
            config = node.config
            if node.id not in reached or node.on_error.continues:
                continue
            if not isinstance(config, Inference):
                continue
            pin = pins[node.id]
            if config.inputs is not None:
                yield from _mapped(config.inputs, pin, start.id)
            elif before[node.id] == [start.id]:
                for spec in pin.inputs:
                    yield FastInput(name=spec.name, path=(spec.name,), spec=spec)


def _always_reached(flow: FlowSpec, start: str) -> set[str]:
    """Return the nodes that every run reaches, unless it fails before."""
    after: dict[str, list[str]] = {}
    for edge in flow.edges:
        if edge.case is None:
            after.setdefault(edge.source, []).append(edge.target)
    found, waiting = {start}, [start]
    while waiting:
        for target in after.get(waiting.pop(), ()):
            if target not in found:
                found.add(target)
                waiting.append(target)
    return found


def _mapped(mapping: Mapping[str, str], pin: Pin, start: str) -> Iterator[FastInput]:
    """Return the inputs whose expression is a path that begins at the node `start`."""
    specs = {spec.name: spec for spec in pin.inputs}
    for name, expression in mapping.items():
        path = parse_path(expression)
        if path is not None and path.node == start and name in specs:
            # an expression needs a value, whether or not the model does
            spec = replace(specs[name], optional=False)
            yield FastInput(name=name, path=path.names, spec=spec)


def _check(inputs: Sequence[TensorInput], input_data: InputData) -> None:
    shapes, _ = pack_inputs(inputs, input_data)
    check_shapes(inputs, shapes)


def _check_json(written: bytes, sources: Sequence[FastInput]) -> None:
    input_data = large_json.loads(written)
    assert isinstance(input_data, dict)
    _check([tensor_input(source) for source in sources], input_data)


def _lookup(input_data: InputData, path: tuple[str, ...]) -> object:
    value: object = input_data
    for name in path:
        if type(value) is not dict:
            return _MISSING
        value = value.get(name, _MISSING)
    return value


def _pointer(source: FastInput) -> str:
    escaped = (name.replace("~", "~0").replace("/", "~1") for name in source.path)
    return "/".join(("#/input_data", *escaped))


def _missing(source: FastInput) -> GatewayError:
    shape = "any" if source.spec.shape is None else list(source.spec.shape)
    message = (
        f"input_data.{'.'.join(source.path)} is missing: expected the tensor '{source.name}', "
        f"{source.spec.datatype} with shape {shape}"
    )
    return _input_error(ErrorCode.INVALID_INPUT, message, source)


def _invalid_tensor(source: FastInput, error: TensorError) -> GatewayError:
    return _input_error(ErrorCode.INVALID_TENSOR, str(error), source)


def _input_error(code: ErrorCode, message: str, source: FastInput) -> GatewayError:
    error: Mapping[str, str] = {"detail": message, "pointer": _pointer(source)}
    return GatewayError(code, message, errors=[error])
