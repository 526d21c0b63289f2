"""The JSON Schema and an example of `input_data`, of the flow or derived from its models. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gateway.deployments.fast_plan import FastInput
from gateway.deployments.input_tensors import input_tensors
from gateway.deployments.settings import SchemaSource
from gateway.flows.plan import compile_plan
from gateway.flows.spec import input_config, parse_flow
from gateway.models.pins import Pin, TensorSpec
from protos.datatypes import DATATYPES
from protos.non_finite import NON_FINITE

_MAX_EXAMPLE_ELEMENTS = 64
"""Of a tensor in an example; of a larger one there is none."""

TENSOR_HINT = "x-tensor"
"""The member of a schema that says which tensor a value becomes, for forms: its `datatype`, and its
`shape` as in a signature."""

# Any, throughout: JSON
Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class InputDescription:
    """What a flow expects as `input_data`."""

    schema: Json | None
    """None: the flow has no schema, and passes no value unchanged to a model."""
    source: SchemaSource | None
    example: Json | None
    """The flow's test data, or else one that the schema accepts; None: too large or not known."""


def describe_input(definition: Json, pins: Mapping[str, Pin]) -> InputDescription:
    """Return what the flow `definition` expects, whose models are `pins` (by node id).

    Raises:
        GatewayError: INVALID_FLOW if it no longer compiles.
    """
    config = input_config(definition)
    schema, example = config.get("schema"), config.get("test_data")
    if schema is not None:
        return InputDescription(schema=schema, source=SchemaSource.FLOW, example=example)
    spec = parse_flow(definition)
    sources = [one for one in input_tensors(spec, compile_plan(spec), pins).sources if one.path]
    if not sources:
        return InputDescription(schema=None, source=None, example=example)
    return InputDescription(
        schema=_object_schema(sources, depth=0),
        source=SchemaSource.MODELS,
        example=_example(sources) if example is None else example,
    )


def _object_schema(sources: Sequence[FastInput], *, depth: int) -> Json:
    """Return the schema of the object that holds the values of `sources` below `depth` names."""
    members: dict[str, list[FastInput]] = {}
    for source in sources:
        members.setdefault(source.path[depth], []).append(source)
    return {
        "type": "object",
        "properties": {name: _member_schema(them, depth + 1) for name, them in members.items()},
        "required": [
            name
            for name, them in members.items()
            if any(not source.spec.optional for source in them)
        ],
    }


def _member_schema(sources: Sequence[FastInput], depth: int) -> Json:
    tensors = [_tensor_schema(source) for source in sources if len(source.path) == depth]
    deeper = [source for source in sources if len(source.path) > depth]
    schemas = [*tensors, _object_schema(deeper, depth=depth)] if deeper else tensors
    return schemas[0] if len(schemas) == 1 else {"allOf": schemas}


def _tensor_schema(source: FastInput) -> Json:
    spec = source.spec
    shape = None if spec.shape is None else list(spec.shape)
    shown = "any" if shape is None else shape
    described: Json = {"description": f"Tensor '{source.name}', {spec.datatype} with shape {shown}"}
    if spec.columns is None:  # else a form has a field for each column
        described[TENSOR_HINT] = {"datatype": spec.datatype, "shape": shape}
    if spec.shape is None:
        return described
    schema = element = _element_schema(spec.datatype)
    for size in reversed(spec.shape):
        limits = {} if size < 0 else {"minItems": size, "maxItems": size}
        schema = {"type": "array", "items": schema, **limits}
        if schema["items"] is element and spec.columns is not None:
            schema = {"anyOf": [_row_schema(spec.columns, element), schema]}
    return {**schema, **described}


def _row_schema(columns: Sequence[str], element: Json) -> Json:
    """Return the schema of an object that names the columns of a row."""
    return {
        "type": "object",
        "properties": dict.fromkeys(columns, element),
        "required": list(columns),
        "additionalProperties": False,
    }


def _element_schema(name: str) -> Json:
    datatype = DATATYPES[name]
    if not datatype.size:
        return {"type": "string"}
    kind = datatype.dtype.kind
    if kind == "b":
        return {"type": "boolean"}
    if kind in "iu":
        limits = np.iinfo(datatype.dtype)
        return {"type": "integer", "minimum": int(limits.min), "maximum": int(limits.max)}
    return {"anyOf": [{"type": "number"}, {"enum": list(NON_FINITE)}]}


def _example(sources: Sequence[FastInput]) -> Json | None:
    example: Json = {}
    for source in sources:
        if source.spec.optional:
            continue
        value = _tensor_example(source.spec)
        if value is None:
            return None
        place = example
        for name in source.path[:-1]:
            place = place.setdefault(name, {})
            if type(place) is not dict:
                return None  # another tensor is where this one's object should be
        place[source.path[-1]] = value
    return example


def _tensor_example(spec: TensorSpec) -> Any:
    """Return a small value, with 1 for each dimension of any size."""
    shape = [1 if size < 0 else size for size in spec.shape or (1,)]
    if spec.shape == ():
        shape = []
    elif spec.columns is not None:
        shape[-1] = len(spec.columns)
    if math.prod(shape) > _MAX_EXAMPLE_ELEMENTS:
        return None
    datatype = DATATYPES[spec.datatype]
    value: object = "text"
    if datatype.size:
        value = {"b": True, "i": 1, "u": 1}.get(datatype.dtype.kind, 0.5)
    example = np.full(shape, value, dtype=object).tolist()
    return example if spec.columns is None else _by_column(example, spec.columns, len(shape))


def _by_column(value: list[Any], columns: Sequence[str], rank: int) -> Any:
    if rank == 1:
        return dict(zip(columns, value, strict=True))
    return [_by_column(item, columns, rank - 1) for item in value]
