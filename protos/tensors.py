"""Tensors on the wire: conversion between raw or typed contents and numpy arrays.

Raw contents are little-endian and row-major. A BYTES element is a 4-byte little-endian length and
that many bytes (Triton's extension_binary_data.md). Functions that read take the tensor's name for
their error messages.
"""

from __future__ import annotations

import math
import reprlib
import struct
from collections.abc import Sequence

import numpy as np

from protos.datatypes import Datatype
from protos.errors import TensorError
from protos.open_inference_pb2 import InferTensorContents

MAX_RANK = 32
"""Of a tensor. numpy supports 64 dimensions, ONNX Runtime's operators far fewer."""
MAX_ELEMENTS = 2**40
"""More than any message can carry; a larger product is a mistake or an attack."""

_LENGTH = struct.Struct("<I")


def element_count(shape: Sequence[int], *, tensor: str) -> int:
    """Return the product of `shape`; raise TensorError if it is negative or too large."""
    if len(shape) > MAX_RANK:
        message = f"tensor '{tensor}': {len(shape)} dimensions, expected at most {MAX_RANK}"
        raise TensorError(message)
    for size in shape:
        if size < 0:
            raise TensorError(f"tensor '{tensor}': negative dimension in shape {list(shape)}")
    count = math.prod(shape)
    # checked without the zeros: numpy refuses even an empty array of huge dimensions
    size = count or math.prod([size or 1 for size in shape])
    if size > MAX_ELEMENTS:
        raise TensorError(f"tensor '{tensor}': shape {list(shape)} is too large ({size} elements)")
    return count


def check_shape(shape: Sequence[int], expected: Sequence[int] | None, *, tensor: str) -> None:
    """Raise TensorError unless `shape` is `expected`: -1 is any size, None a tensor of any rank."""
    if expected is None:
        return
    if len(shape) == len(expected) and all(
        size == wanted or (wanted < 0 <= size) for size, wanted in zip(shape, expected, strict=True)
    ):
        return
    if min(shape, default=0) < 0:
        raise TensorError(f"tensor '{tensor}': negative dimension in shape {list(shape)}")
    raise TensorError(
        f"tensor '{tensor}': expected shape {list(expected)}, got {reprlib.repr(list(shape))}"
    )


def decode_raw(
    raw: bytes | memoryview, datatype: Datatype, shape: Sequence[int], *, tensor: str
) -> np.ndarray:
    """Return the array in `raw`: a read-only view if the datatype has a fixed size.

    Raises:
        TensorError: the number of bytes does not match datatype and shape.
    """
    count = element_count(shape, tensor=tensor)
    if not datatype.size:
        found = split_elements(raw, count, tensor=tensor)
        elements = np.empty(count, dtype=object)  # allocated after the check of `count`
        elements[:] = found
        return elements.reshape(shape)
    expected = count * datatype.size
    if len(raw) != expected:
        raise TensorError(
            f"tensor '{tensor}': expected {expected} bytes for datatype {datatype.name} and shape "
            f"{list(shape)}, got {len(raw)}"
        )
    if datatype.name == "BOOL":
        highest = int(np.max(np.frombuffer(raw, np.uint8), initial=0))
        if highest > 1:
            raise TensorError(f"tensor '{tensor}': a BOOL byte must be 0 or 1, got {highest}")
    return np.frombuffer(raw, datatype.dtype).reshape(shape)


def encode_raw(array: np.ndarray, datatype: Datatype) -> bytes:
    """Return the raw contents of `array`."""
    if not datatype.size:
        return join_elements(array.ravel().tolist())
    return array.astype(datatype.dtype, copy=False).tobytes()


def split_elements(raw: bytes | memoryview, count: int, *, tensor: str) -> list[bytes]:
    """Return the BYTES elements of `raw`, which must contain exactly `count`."""
    reader = ElementReader(raw, count, tensor=tensor)
    elements = reader.take(count)
    reader.check_end()
    return elements


class ElementReader:
    """Reads the BYTES elements of a tensor, some at a time.

    Args:
        raw: contains exactly `count` elements.
        count: of all.
        tensor: its name.
    """

    def __init__(self, raw: bytes | memoryview, count: int, *, tensor: str) -> None:
        self._view = memoryview(raw)
        self._count = count
        self._tensor = tensor
        self._offset = 0

    def take(self, count: int) -> list[bytes]:
        """Return the next elements; raise TensorError if there are fewer."""
        view, offset = self._view, self._offset
        elements: list[bytes] = []
        while len(elements) < count and offset + _LENGTH.size <= len(view):
            start = offset + _LENGTH.size
            offset = start + _LENGTH.unpack_from(view, start - _LENGTH.size)[0]
            if offset > len(view):
                break
            elements.append(bytes(view[start:offset]))
        self._offset = offset
        if len(elements) != count:
            raise self._mismatch()
        return elements

    def check_end(self) -> None:
        """Raise TensorError unless everything was taken."""
        if self._offset != len(self._view):
            raise self._mismatch()

    def _mismatch(self) -> TensorError:
        return TensorError(
            f"tensor '{self._tensor}': expected {self._count} BYTES elements, each a 4-byte length "
            f"and that many bytes, got {len(self._view)} bytes in another layout"
        )


def join_elements(elements: Sequence[bytes]) -> bytes:
    """Return the raw contents of BYTES elements."""
    return b"".join([_LENGTH.pack(len(element)) + element for element in elements])


def decode_contents(
    contents: InferTensorContents, datatype: Datatype, shape: Sequence[int], *, tensor: str
) -> np.ndarray:
    """Return the array in typed contents.

    Raises:
        TensorError: the datatype has no typed form, the field belongs to another datatype, the
            number of elements does not match the shape, or a value is out of range.
    """
    if datatype.contents is None:
        message = (
            f"tensor '{tensor}': {datatype.name} has no typed contents; send raw_input_contents"
        )
        raise TensorError(message)
    for field, _ in contents.ListFields():
        if field.name != datatype.contents:
            message = f"tensor '{tensor}': expected {datatype.contents} for {datatype.name}"
            raise TensorError(f"{message}, got {field.name}")
    values = getattr(contents, datatype.contents)
    count = element_count(shape, tensor=tensor)
    if len(values) != count:
        raise TensorError(
            f"tensor '{tensor}': expected {count} elements for shape {list(shape)}, "
            f"got {len(values)}"
        )
    if not datatype.size:
        elements = np.empty(count, dtype=object)
        elements[:] = list(values)
        return elements.reshape(shape)
    try:
        return np.array(list(values), dtype=datatype.dtype).reshape(shape)
    except OverflowError:
        raise TensorError(
            f"tensor '{tensor}': {datatype.name} values out of range: "
            f"got {min(values)} to {max(values)}"
        ) from None


def encode_contents(array: np.ndarray, datatype: Datatype, contents: InferTensorContents) -> None:
    """Append the elements of `array` to the typed field of its datatype, which must have one."""
    if datatype.contents is None:
        message = f"{datatype.name} has no typed contents"
        raise ValueError(message)
    getattr(contents, datatype.contents).extend(array.ravel().tolist())
