"""A node of a graph as rules see it: its attributes, and what is known of its inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from onnx import AttributeProto, NodeProto, TensorProto, numpy_helper

from inference_server.runtime.rows.polynomials import number
from inference_server.runtime.rows.refusal import MixesRowsError
from inference_server.runtime.rows.tensors import MAX_ENTRIES, Tensor, tensor, with_entries

STANDARD, CLASSICAL, MICROSOFT = "", "ai.onnx.ml", "com.microsoft"
"""Operator sets. The standard one is also written `ai.onnx`."""
_BITS: Mapping[int, int] = {TensorProto.INT64: 64, TensorProto.INT32: 32}
_VALUE_FIELDS = (
    *("raw_data", "float_data", "int32_data", "string_data", "int64_data", "double_data"),
    "uint64_data",
)
_CONSTANT_ATTRIBUTES = ("value", "value_int", "value_ints", "value_float", "value_floats")


@dataclass(frozen=True, slots=True)
class Node:
    """One node, with its inputs in place of their names.

    Attributes:
        name: of its first output, which no other node has.
        op: the operator.
        version: of its operator set.
        inputs: what is known of each; None for one that is left out.
        outputs: how many there are.
        attributes: by name.
    """

    name: str
    op: str
    version: int
    inputs: Sequence[Tensor | None]
    outputs: int
    attributes: Mapping[str, AttributeProto]

    @property
    def values(self) -> list[Tensor]:
        """The inputs that are there."""
        return [value for value in self.inputs if value is not None]

    def of_version(self, version: int) -> Node:
        """Return the same node of another version of its operator."""
        return replace(self, version=version)

    def has(self, index: int) -> bool:
        """Whether there is an input at this place."""
        return index < len(self.inputs) and self.inputs[index] is not None

    def input(self, index: int) -> Tensor:
        """Return an input that must be there."""
        value = self.inputs[index] if index < len(self.inputs) else None
        if value is None:
            raise MixesRowsError("an input is missing")
        return value

    def has_attribute(self, name: str) -> bool:
        """Whether an attribute is given."""
        return name in self.attributes

    def count(self, name: str) -> int:
        """Return how many texts or integers a list has; 0 if it is left out."""
        found = self.attributes.get(name)
        return 0 if found is None else len(found.strings) + len(found.ints)

    def integer(self, name: str, default: int) -> int:
        """Return an attribute."""
        found = self._attribute(name, AttributeProto.INT)
        return default if found is None else int(found.i)

    def integers(self, name: str) -> list[int] | None:
        """Return a list; None if it is left out."""
        found = self._attribute(name, AttributeProto.INTS)
        return None if found is None else list(found.ints)

    def text(self, name: str, default: str) -> str:
        """Return an attribute."""
        found = self._attribute(name, AttributeProto.STRING)
        return default if found is None else found.s.decode(errors="replace")

    def numbers(self, index: int, name: str) -> list[int] | None:
        """Return integers that are an input in newer versions of an operator, else an attribute.

        None if they are left out.

        Raises:
            MixesRowsError: they are computed from what a caller sends, or both are given.
        """
        if not self.has(index):
            return self.integers(name)
        if name in self.attributes:
            raise MixesRowsError(f"{name} is given twice")
        found = self.input(index).integers()
        if found is None:
            raise MixesRowsError(f"its {name} are not known before a run")
        return found

    def _attribute(self, name: str, kind: int) -> AttributeProto | None:
        found = self.attributes.get(name)
        if found is not None and found.type != kind:
            raise MixesRowsError(f"its attribute {name} has an unusual type")
        return found


Rule = Callable[[Node], Tensor | Sequence[Tensor]]
"""Returns what is known of the outputs, or raises MixesRowsError."""


def attributes_of(node: NodeProto) -> dict[str, AttributeProto]:
    """Return the attributes by name; raises MixesRowsError where readers of ONNX may differ."""
    found = {attribute.name: attribute for attribute in node.attribute}
    if len(found) < len(node.attribute):
        raise MixesRowsError("an attribute is given twice")
    if any(attribute.ref_attr_name for attribute in found.values()):
        raise MixesRowsError("it belongs to a function")
    return found


def constant(proto: TensorProto) -> Tensor:
    """Return what is known of a tensor in the file, with its entries if there are few.

    Raises:
        MixesRowsError: its values are given in two ways.
    """
    if len([name for name in _VALUE_FIELDS if len(getattr(proto, name))]) > 1:
        raise MixesRowsError("a constant of it has its values in two fields")
    shape = [number(size) for size in proto.dims]
    count = int(np.prod(proto.dims, dtype=object)) if proto.dims else 1
    is_text = proto.data_type in (TensorProto.STRING, TensorProto.UNDEFINED)
    if count > MAX_ENTRIES or is_text or proto.data_location == TensorProto.EXTERNAL:
        return tensor(shape)
    try:
        array = numpy_helper.to_array(proto)
    except (ValueError, TypeError):
        return tensor(shape)
    if array.dtype.kind not in "biuf":
        return tensor(shape)
    entries = tuple(
        number(int(value)) if np.isfinite(value) and value == int(value) else None
        for value in array.flat
    )
    return with_entries(shape, entries, _BITS.get(proto.data_type, 0))


def constant_node(node: Node) -> Tensor:
    """`Constant`."""
    (name,) = node.attributes.keys() & _CONSTANT_ATTRIBUTES or ("",)
    found = node.attributes.get(name)
    if found is None:
        return tensor(None)
    if name == "value":
        return constant(found.t)
    if name in ("value_int", "value_ints"):
        values = list(found.ints) if name == "value_ints" else [found.i]
        shape = [number(len(values))] if name == "value_ints" else []
        return with_entries(shape, tuple(map(number, values)), 64)
    return tensor([number(len(found.floats))] if name == "value_floats" else [])
