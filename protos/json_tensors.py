"""Tensors as JSON: numbers, booleans and strings, nested or flat, to numpy arrays and back.

FP16 and BF16 are ordinary numbers here. BYTES elements are strings, UTF-8 on the wire. Nothing is
converted quietly: "1" is no number, 1.5 no integer, 300 no UINT8.
"""

from __future__ import annotations

import reprlib
import struct
from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np

from protos.datatypes import Datatype
from protos.errors import TensorError
from protos.large_json import NumberArray
from protos.tensors import element_count, encode_raw

_EXACT_INTEGERS = 2**53
"""Above it a JSON float no longer names one integer."""
_BOOLEAN, _INTEGERS, _FLOAT = "b", "iu", "f"
_BOOLEANS, _NUMBERS = frozenset({bool}), frozenset({int, float})
_MOST_PACKED = 4096
"""Elements that `struct` packs sooner than numpy has made an array of them."""
_PACKED: Mapping[str, tuple[str, frozenset[type]]] = {
    "FP16": ("e", _NUMBERS),
    "FP32": ("f", _NUMBERS),
    "FP64": ("d", _NUMBERS),
    **{
        name: (code, frozenset({int}))
        for name, code in zip(
            ("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"),
            "bhiqBHIQ",
            strict=True,
        )
    },
}
"""By datatype: struct's code, and the types that it takes as they are."""


def from_json(
    value: object, datatype: Datatype, *, tensor: str, shape: Sequence[int] | None = None
) -> np.ndarray:
    """Return the array that a JSON value spells.

    Args:
        value: a scalar, a nested list or a NumberArray; with `shape` also a flat list of all
            elements.
        datatype: what the elements shall be.
        tensor: the tensor's name, for the error.
        shape: the shape that it must have; without it the nesting decides.

    Raises:
        TensorError: ragged nesting, an element of another type or out of range, a wrong count.
    """
    array = _array(value, datatype, tensor)
    if shape is None:
        return array
    count = element_count(shape, tensor=tensor)
    if array.size != count:
        raise TensorError(
            f"tensor '{tensor}': expected {count} elements for shape {list(shape)}, "
            f"got {array.size}"
        )
    if array.size and array.ndim > 1 and array.shape != tuple(shape):
        raise TensorError(
            f"tensor '{tensor}': data is nested as {list(array.shape)}, shape says {list(shape)}"
        )
    return array.reshape(shape)


def pack_json(value: object, datatype: Datatype, *, tensor: str) -> tuple[tuple[int, ...], bytes]:
    """Return shape and raw elements of what `from_json` would return; raises as it does.

    Small vectors and matrices, nearly all there is, take a way around numpy. A large integer for a
    float comes by way of a double there, and may be off by the last bit.
    """
    packed = _pack_small(value, datatype.name)
    if packed is None:
        array = from_json(value, datatype, tensor=tensor)
        return array.shape, encode_raw(array, datatype)
    return packed


def _pack_small(value: object, name: str) -> tuple[tuple[int, ...], bytes] | None:
    """Return shape and raw elements; None for what is not small, or not what is expected."""
    if type(value) is not list or not value or name not in _PACKED:
        return None
    code, types = _PACKED[name]
    shape: tuple[int, ...] = (len(value),)
    first = value[0]
    if type(first) is list:
        shape = (len(value), len(first))
        if len(value) > 1:
            if not _is_matrix(value, len(first)):
                return None
            first = list(chain.from_iterable(value))
        value = first
    if not 0 < len(value) <= _MOST_PACKED or not types.issuperset(map(type, value)):
        return None
    try:
        return shape, struct.pack(f"<{len(value)}{code}", *value)
    except (struct.error, OverflowError):
        return None  # out of range: `from_json` says it better


def _is_matrix(rows: list[object], width: int) -> bool:
    """Whether every row is a list of `width` elements."""
    if len(rows) * width > _MOST_PACKED:
        return False
    return all(type(row) is list and len(row) == width for row in rows)


def to_json(array: np.ndarray, datatype: Datatype) -> object:
    """Return what orjson (with OPT_SERIALIZE_NUMPY) writes as this tensor's JSON.

    NaN and the infinities, which JSON cannot write, come out as null. BYTES elements that are not
    UTF-8 come out with U+FFFD in place of what is broken.
    """
    if not datatype.size:
        return _decode_elements(array.tolist())
    if datatype.name == "BF16":
        array = array.astype(np.float32)
    if array.ndim == 0:
        scalar: object = array.item()
        return scalar
    return np.ascontiguousarray(array)


def _array(value: object, datatype: Datatype, tensor: str) -> np.ndarray:
    if type(value) is NumberArray:
        array = _read(value, datatype, tensor)
        if array is not None:
            return array
        value = value.as_list()
    return _numbers(value, datatype, tensor) if datatype.size else _strings(value, tensor)


def _read(numbers: NumberArray, datatype: Datatype, tensor: str) -> np.ndarray | None:
    """Return what lists of the same numbers would become; None where only lists tell."""
    kind = datatype.dtype.kind
    if kind == _BOOLEAN or not datatype.size:
        return None
    if kind in _INTEGERS:
        integers = numbers.read("u" if datatype.name == "UINT64" else "i")
        return None if integers is None else _integers(integers, datatype, tensor)
    array = numbers.read("d")
    if array is None or (datatype.size < array.itemsize and _may_be_rounded(array)):
        return None
    return _floats(array, datatype, tensor)


def _may_be_rounded(array: np.ndarray) -> bool:
    """Whether there are integers, perhaps, that became doubles before they become less."""
    return bool(array.max() > _EXACT_INTEGERS or array.min() < -_EXACT_INTEGERS)


def _decode_elements(value: object) -> object:
    if isinstance(value, list):
        return [_decode_elements(item) for item in value]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _strings(value: object, tensor: str) -> np.ndarray:
    try:
        array = np.array(value, dtype=np.dtypes.StringDType(coerce=False))
    except UnicodeEncodeError:
        raise TensorError(f"tensor '{tensor}': a string holds a lone surrogate") from None
    except ValueError:
        shown = reprlib.repr(value)
        message = f"tensor '{tensor}': expected a rectangular array of strings, got {shown}"
        raise TensorError(message) from None
    flat = np.empty(array.size, dtype=object)
    flat[:] = [text.encode() for text in array.ravel().tolist()]
    return flat.reshape(array.shape)


def _numbers(value: object, datatype: Datatype, tensor: str) -> np.ndarray:
    boolean = datatype.dtype.kind == _BOOLEAN
    types = _element_types(value)
    if list in types:
        raise TensorError(_ragged(tensor, datatype))
    if not types <= (_BOOLEANS if boolean else _NUMBERS):
        raise TensorError(_mismatch(tensor, datatype, value))
    try:
        array = np.array(value)
    except ValueError:
        raise TensorError(_ragged(tensor, datatype)) from None
    if array.size == 0 or boolean:
        return array.astype(datatype.dtype)
    if datatype.dtype.kind in _INTEGERS:
        return _whole_numbers(array, datatype, tensor, value)
    if array.dtype == object:
        raise TensorError(_mismatch(tensor, datatype, value))
    return _floats(array, datatype, tensor)


def _floats(array: np.ndarray, datatype: Datatype, tensor: str) -> np.ndarray:
    with np.errstate(over="ignore"):
        cast = array.astype(datatype.dtype)
    if not np.isfinite(cast).all() and np.isfinite(array).all():
        raise TensorError(f"tensor '{tensor}': a number is out of range for {datatype.name}")
    return cast


def _element_types(value: object) -> set[type]:
    """Return the types at the depth where not all are lists any more.

    Looked at before numpy is: it would make a number of true among numbers, and give every number
    beside a long string the room of that string.
    """
    if type(value) is not list:
        return {type(value)}
    types = set(map(type, value))
    while types == {list}:
        value = list(chain.from_iterable(value))
        types = set(map(type, value))
    return types


def _whole_numbers(array: np.ndarray, datatype: Datatype, tensor: str, value: object) -> np.ndarray:
    if array.dtype.kind == _FLOAT:
        whole = (np.abs(array) <= _EXACT_INTEGERS) & (array == np.floor(array))
        array = array.astype(np.int64) if whole.all() else np.array(value, dtype=object)
    if array.dtype == object:
        return _wide_integers(array, datatype, tensor, value)
    return _integers(array, datatype, tensor)


def _integers(array: np.ndarray, datatype: Datatype, tensor: str) -> np.ndarray:
    limits = np.iinfo(datatype.dtype)
    if array.min() < limits.min or array.max() > limits.max:
        message = f"tensor '{tensor}': {datatype.name} holds {limits.min} to {limits.max}, got "
        raise TensorError(message + f"{array.min()} to {array.max()}")
    return array.astype(datatype.dtype)


def _wide_integers(array: np.ndarray, datatype: Datatype, tensor: str, value: object) -> np.ndarray:
    """Numbers that numpy would not keep as one integer type, such as [1, 2**63]."""
    if not all(type(item) is int for item in array.ravel()):
        raise TensorError(_mismatch(tensor, datatype, value))
    try:
        return array.astype(datatype.dtype)
    except OverflowError:
        limits = np.iinfo(datatype.dtype)
        message = f"tensor '{tensor}': {datatype.name} holds {limits.min} to {limits.max}"
        raise TensorError(message) from None


def _mismatch(tensor: str, datatype: Datatype, value: object) -> str:
    return f"tensor '{tensor}': expected {datatype.name} values, got {reprlib.repr(value)}"


def _ragged(tensor: str, datatype: Datatype) -> str:
    return f"tensor '{tensor}': expected a rectangular array of {datatype.name}, got ragged lists"
