"""The inputs and outputs of a loaded model, in the terms of the Open Inference Protocol."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import onnxruntime as ort

from model_store.tensor_spec import ClassLabels, TensorSpec

_DATATYPES: Mapping[str, str] = {
    "bool": "BOOL",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "float16": "FP16",
    "float": "FP32",
    "double": "FP64",
    "bfloat16": "BF16",
    "string": "BYTES",
}
_TENSOR = re.compile(r"tensor\((\w+)\)")
_CLASS_MAPS = frozenset({"seq(map(int64,tensor(float)))", "seq(map(string,tensor(float)))"})
_OPTIONAL = re.compile(r"optional\((.+)\)")


EqualSizes = tuple[tuple[tuple[str, int], ...], ...]
"""Inputs and axes whose sizes have one name: ONNX Runtime takes them for equal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """A model's inputs and outputs, and those that the protocol cannot carry."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    unsupported_inputs: Mapping[str, str]
    """Name → ONNX type, such as `seq(map(int64,tensor(float)))`."""
    unsupported_outputs: Mapping[str, str]
    equal_sizes: EqualSizes


def protocol_shape(spec: TensorSpec) -> tuple[int, ...]:
    """Return the shape for metadata: [-1] for any rank, which the protocol cannot express."""
    return (-1,) if spec.shape is None else spec.shape


def read_signature(
    session: ort.InferenceSession,
    *,
    unranked: Collection[str] = (),
    class_labels: Mapping[str, ClassLabels] | None = None,
) -> Signature:
    """Return the inputs and outputs of `session`.

    Sequences of maps are served as tensors if `class_labels` has their classes. Initializers that a
    caller may override are optional inputs, as are inputs of an optional type. ONNX Runtime reports
    scalars and tensors of any rank alike, without dimensions: `unranked` names those that the model
    file declares without a shape.
    """
    inputs, unsupported_inputs = _specs(session.get_inputs(), unranked)
    overridable, unsupported = _specs(
        session.get_overridable_initializers(), unranked, optional=True
    )
    outputs, unsupported_outputs = _specs(
        session.get_outputs(), unranked, class_labels=class_labels or {}
    )
    signature = Signature(
        inputs=inputs + overridable,
        outputs=outputs,
        # they have a value without the caller
        unsupported_inputs=unsupported_inputs
        | {name: f"optional({onnx_type})" for name, onnx_type in unsupported.items()},
        unsupported_outputs=unsupported_outputs,
        equal_sizes=_equal_sizes(session.get_inputs()),
    )
    return _without_unreadable(signature)


def _specs(
    arguments: Iterable[ort.NodeArg],
    unranked: Collection[str],
    *,
    optional: bool = False,
    class_labels: Mapping[str, ClassLabels] = MappingProxyType({}),
) -> tuple[tuple[TensorSpec, ...], dict[str, str]]:
    specs: list[TensorSpec] = []
    unsupported: dict[str, str] = {}
    for argument in arguments:
        labels = class_labels.get(argument.name)
        if labels is not None and argument.type in _CLASS_MAPS:
            shape: tuple[int, ...] | None = (-1, len(labels))
            specs.append(
                TensorSpec(name=argument.name, datatype="FP32", shape=shape, class_labels=labels)
            )
            continue
        wrapped = _OPTIONAL.fullmatch(argument.type)
        tensor = _TENSOR.fullmatch(wrapped[1] if wrapped else argument.type)
        datatype = _DATATYPES.get(tensor[1]) if tensor else None
        if datatype is None:
            unsupported[argument.name] = argument.type
            continue
        shape = None if not argument.shape and argument.name in unranked else _shape(argument.shape)
        specs.append(
            TensorSpec(
                name=argument.name,
                datatype=datatype,
                shape=shape,
                optional=optional or wrapped is not None,
            )
        )
    return tuple(specs), unsupported


def _equal_sizes(arguments: Iterable[ort.NodeArg]) -> EqualSizes:
    places: dict[str, list[tuple[str, int]]] = {}
    for argument in arguments:
        for axis, size in enumerate(argument.shape):
            if isinstance(size, str):
                places.setdefault(size, []).append((argument.name, axis))
    return tuple(tuple(found) for found in places.values() if len(found) > 1)


def _without_unreadable(signature: Signature) -> Signature:
    """Leave out the outputs that ONNX Runtime's Python API cannot return together with others."""
    bfloats = {spec.name for spec in signature.outputs if spec.datatype == "BF16"}
    if not bfloats:
        return signature
    unreadable: dict[str, str] = {}
    if any(spec.datatype == "BYTES" for spec in signature.inputs):
        reason = "tensor(bfloat16) of a model that takes strings"
        unreadable = dict.fromkeys(bfloats, reason)
    else:
        labelled = [spec.name for spec in signature.outputs if spec.class_labels]
        unreadable = dict.fromkeys(labelled, "seq(map) of a model that returns tensor(bfloat16)")
    return replace(
        signature,
        outputs=tuple(spec for spec in signature.outputs if spec.name not in unreadable),
        unsupported_outputs={**signature.unsupported_outputs, **unreadable},
    )


def _shape(dimensions: Iterable[int | str | None]) -> tuple[int, ...]:
    """Return `dimensions` with -1 for those that have a name, or nothing, instead of a size."""
    return tuple(d if isinstance(d, int) and d >= 0 else -1 for d in dimensions)
