"""Tensors as JSON: conversion between numbers, booleans and strings, nested or flat, and numpy.

FP16 and BF16 are ordinary numbers in JSON. Of all floating-point datatypes, NaN and infinities are
strings (`protos.non_finite`). BYTES elements are strings, UTF-8 on the wire. There are no implicit
conversions: "1" is not a number, 1.5 not an integer, 300 not a UINT8.
"""

from __future__ import annotations

import math
import reprlib
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain

import numpy as np
import orjson

from protos.datatypes import Datatype
from protos.errors import TensorError
from protos.large_json import NumberArray
from protos.non_finite import NON_FINITE, dump_with_strings, non_finite_name
from protos.tensors import ElementReader, decode_raw, element_count, encode_raw

_EXACT_INTEGERS = 2**53
"""Above it, a JSON float does not identify one integer."""
_BOOLEAN, _INTEGERS, _FLOAT = "b", "iu", "f"
_BOOLEANS, _NUMBERS = frozenset({bool}), frozenset({int, float})
_MAX_STRUCT_ELEMENTS = 4096
"""Up to this many, `struct` packs elements faster than numpy makes an array of them."""
_PART_ELEMENTS = 1 << 15
"""Numbers that are written at once."""
_PART_OBJECTS = 1 << 12
"""Of them, where each becomes an object of Python."""
_BYTES_OF_AN_OBJECT = 64
"""Of text that takes as long to write as an object to make."""
_STRUCT_CODES: Mapping[str, tuple[str, frozenset[type]]] = {
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
"""By datatype: struct's code, and the Python types that it packs unchanged."""


def from_json(
    value: object, datatype: Datatype, *, tensor: str, shape: Sequence[int] | None = None
) -> np.ndarray:
    """Return the array that a JSON value describes.

    Args:
        value: a scalar, a nested list or a NumberArray; with `shape` also a flat list of all
            elements.
        datatype: of the elements.
        tensor: the tensor's name, for the error.
        shape: the required shape; default: given by the nesting.

    Raises:
        TensorError: ragged nesting, an element of another type or out of range, or a wrong count.
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
            f"tensor '{tensor}': expected data nested as {list(shape)}, got {list(array.shape)}"
        )
    return array.reshape(shape)


def in_column_order(value: object, columns: Sequence[str], rank: int, *, tensor: str) -> object:
    """Return `value` with lists in place of objects that name the columns of the last dimension.

    Args:
        value: JSON for a tensor.
        columns: their order.
        rank: of the tensor.
        tensor: its name, for the error.

    Raises:
        TensorError: an object with another set of names.
    """
    try:
        return _in_order(value, columns, rank)
    except _OtherColumnsError:
        place, row = _first_other(value, columns, rank)
        missing = [name for name in columns if name not in row]
        known = frozenset(columns)
        unknown = [name for name in row if name not in known]
        named = (("missing", missing), ("unknown", unknown))
        found = ", ".join(f"{title} {reprlib.repr(names)}" for title, names in named if names)
        expected = f"expected the columns {reprlib.repr(list(columns))}"
        raise TensorError(f"tensor '{tensor}': {expected} in row {place}: {found}") from None


class _OtherColumnsError(Exception):
    """An object has another set of names."""


def _in_order(value: object, columns: Sequence[str], rank: int) -> object:
    if type(value) is dict and rank == 1:
        if len(value) != len(columns) or not all(map(value.__contains__, columns)):
            raise _OtherColumnsError
        return [value[name] for name in columns]
    if type(value) is list and rank > 1:
        return [_in_order(item, columns, rank - 1) for item in value]
    return value


def _first_other(
    value: object, columns: Sequence[str], rank: int, place: str = ""
) -> tuple[str, Mapping[str, object]]:
    """Return the first object with another set of names, and its place, as in `[3]`."""
    items = value if isinstance(value, list) else []
    for index, item in enumerate(items):
        try:
            _in_order(item, columns, rank - 1)
        except _OtherColumnsError:
            return _first_other(item, columns, rank - 1, f"{place}[{index}]")
    assert isinstance(value, dict)
    return place or "[]", value


def pack_json(value: object, datatype: Datatype, *, tensor: str) -> tuple[tuple[int, ...], bytes]:
    """Return shape and raw contents of the array that `from_json` returns; raises as it does.

    Small vectors and matrices, by far the most common inputs, are packed without numpy. An integer
    above 2**53 for a float datatype may then differ from `from_json` in the last bit.
    """
    packed = _pack_small(value, datatype.name)
    if packed is None:
        array = from_json(value, datatype, tensor=tensor)
        return array.shape, encode_raw(array, datatype)
    return packed


def _pack_small(value: object, name: str) -> tuple[tuple[int, ...], bytes] | None:
    """Return shape and raw contents; None if `value` is not small or not plainly valid."""
    if type(value) is not list or not value or name not in _STRUCT_CODES:
        return None
    code, types = _STRUCT_CODES[name]
    shape: tuple[int, ...] = (len(value),)
    first = value[0]
    if type(first) is list:
        shape = (len(value), len(first))
        if len(value) > 1:
            if not _is_matrix(value, len(first)):
                return None
            first = list(chain.from_iterable(value))
        value = first
    if not 0 < len(value) <= _MAX_STRUCT_ELEMENTS or not types.issuperset(map(type, value)):
        return None
    try:
        return shape, struct.pack(f"<{len(value)}{code}", *value)
    except (struct.error, OverflowError):
        return None  # out of range: `from_json` explains it


def _is_matrix(rows: list[object], width: int) -> bool:
    """Whether every row is a list of `width` elements."""
    if len(rows) * width > _MAX_STRUCT_ELEMENTS:
        return False
    return all(type(row) is list and len(row) == width for row in rows)


def to_json(array: np.ndarray, datatype: Datatype) -> object:
    """Return an object that orjson (with OPT_SERIALIZE_NUMPY) serializes as this tensor's JSON.

    orjson writes NaN and infinities as null, `dump_tensor` as strings. In BYTES elements that are
    not UTF-8, invalid bytes become U+FFFD.
    """
    if not datatype.size:
        return _decode_elements(array.tolist())
    if datatype.name == "BF16":
        array = array.astype(np.float32)
    if array.ndim == 0:
        scalar: object = array.item()
        return scalar
    return np.ascontiguousarray(array)


def dump_tensor(value: object) -> bytes:
    """Return what `to_json` returned as JSON, with NaN and infinities as strings."""
    written = dump_with_nulls(value)
    if b"null" not in written:
        return written
    if not isinstance(value, np.ndarray):
        return dump_with_strings(value)
    names = [
        b'"%b"' % non_finite_name(number).encode() for number in value[~np.isfinite(value)].tolist()
    ]
    parts = written.split(b"null")
    return b"".join(chain.from_iterable(zip(parts, [*names, b""], strict=True)))


def dump_with_nulls(value: object) -> bytes:
    """Return what `to_json` returned as JSON, with null for NaN and infinities."""
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


def dump_in_parts(
    raw: memoryview,
    datatype: Datatype,
    shape: Sequence[int],
    dump: Callable[[object], bytes],
    *,
    tensor: str,
) -> Iterator[bytes]:
    """Yield `dump(to_json(decode_raw(…)))` in parts, each of which takes a few milliseconds.

    Raises:
        TensorError: as `decode_raw`, also after some parts.
    """
    if datatype.size:
        array = decode_raw(raw, datatype, shape, tensor=tensor)
        yield from _array_parts(array, lambda part: dump(to_json(part, datatype)))
        return
    elements = ElementReader(raw, element_count(shape, tensor=tensor), tensor=tensor)
    yield from _element_parts(elements, tuple(shape), len(raw), dump)
    elements.check_end()


def dump_rows_in_parts(array: np.ndarray, dump: Callable[[np.ndarray], bytes]) -> Iterator[bytes]:
    """Yield `dump(array)` in parts of some rows, for a `dump` that needs whole rows."""
    rows = max(1, _PART_OBJECTS // max(1, math.prod(array.shape[1:])))
    yield b"["
    for start in range(0, len(array), rows):
        yield (b"," if start else b"") + dump(array[start : start + rows])[1:-1]
    yield b"]"


def _array_parts(array: np.ndarray, dump: Callable[[np.ndarray], bytes]) -> Iterator[bytes]:
    if array.size <= _PART_ELEMENTS:
        yield dump(array)
        return
    rows = max(1, _PART_ELEMENTS * len(array) // array.size)
    before = b"["
    for start in range(0, len(array), rows):
        yield before
        if rows == 1:
            yield from _array_parts(array[start], dump)
        else:
            yield dump(array[start : start + rows])[1:-1]
        before = b","
    yield b"]"


def _element_parts(
    elements: ElementReader, shape: tuple[int, ...], size: int, dump: Callable[[object], bytes]
) -> Iterator[bytes]:
    """Yield BYTES elements of `shape` in parts; `size` is about how many bytes they take."""
    count = math.prod(shape)
    weight = max(count, size // _BYTES_OF_AN_OBJECT)
    if weight <= _PART_OBJECTS or not shape or not count:
        yield dump(_nested(elements.take(count), shape))
        return
    rows = max(1, _PART_OBJECTS * shape[0] // weight)
    inner = shape[1:]
    before = b"["
    for start in range(0, shape[0], rows):
        yield before
        if rows == 1:
            yield from _element_parts(elements, inner, size // shape[0], dump)
        else:
            part = min(rows, shape[0] - start), *inner
            yield dump(_nested(elements.take(math.prod(part)), part))[1:-1]
        before = b","
    yield b"]"


def _nested(elements: list[bytes], shape: tuple[int, ...]) -> object:
    array = np.empty(len(elements), dtype=object)
    array[:] = elements
    return _decode_elements(array.reshape(shape).tolist())


def _array(value: object, datatype: Datatype, tensor: str) -> np.ndarray:
    if type(value) is NumberArray:
        array = _from_number_array(value, datatype, tensor)
        if array is not None:
            return array
        value = value.as_list()
    return _numbers(value, datatype, tensor) if datatype.size else _strings(value, tensor)


def _from_number_array(numbers: NumberArray, datatype: Datatype, tensor: str) -> np.ndarray | None:
    """Return the array that lists of the same numbers give; None if it takes lists to decide."""
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
    """Whether integers may have been rounded to doubles, before a second rounding to less."""
    return bool(array.max() > _EXACT_INTEGERS or array.min() < -_EXACT_INTEGERS)


def _decode_elements(value: object) -> object:
    if isinstance(value, list):
        return [_decode_elements(item) for item in value]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _strings(value: object, tensor: str) -> np.ndarray:
    try:
        array = np.array(value, dtype=np.dtypes.StringDType(coerce=False))
    except UnicodeEncodeError:
        raise TensorError(f"tensor '{tensor}': a string contains a lone surrogate") from None
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
    if str in types and _is_floating(datatype):
        value = _with_non_finite(value)
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


def _is_floating(datatype: Datatype) -> bool:
    return datatype.size > 0 and datatype.dtype.kind not in (_BOOLEAN, *_INTEGERS)


def _with_non_finite(value: object) -> object:
    """Return numbers in place of the strings for NaN and infinities."""
    if type(value) is list:
        return [_with_non_finite(member) for member in value]
    return NON_FINITE.get(value, value) if type(value) is str else value


def _floats(array: np.ndarray, datatype: Datatype, tensor: str) -> np.ndarray:
    with np.errstate(over="ignore"):
        cast = array.astype(datatype.dtype)
    if not np.array_equal(np.isfinite(cast), np.isfinite(array)):
        raise TensorError(f"tensor '{tensor}': a number is out of range for {datatype.name}")
    return cast


def _element_types(value: object) -> set[type]:
    """Return the types at the first depth where not all elements are lists.

    Checked before numpy sees the value: among numbers it would convert true to 1, and next to a
    long string it would allocate that string's length for every number.
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
        message = _expected_range(tensor, datatype)
        raise TensorError(f"{message}, got {array.min()} to {array.max()}")
    return array.astype(datatype.dtype)


def _wide_integers(array: np.ndarray, datatype: Datatype, tensor: str, value: object) -> np.ndarray:
    """Convert numbers that have no common numpy integer type, such as [1, 2**63]."""
    if not all(type(item) is int for item in array.ravel()):
        raise TensorError(_mismatch(tensor, datatype, value))
    try:
        return array.astype(datatype.dtype)
    except OverflowError:
        raise TensorError(_expected_range(tensor, datatype)) from None


def _expected_range(tensor: str, datatype: Datatype) -> str:
    limits = np.iinfo(datatype.dtype)
    return f"tensor '{tensor}': expected {datatype.name} values from {limits.min} to {limits.max}"


def _mismatch(tensor: str, datatype: Datatype, value: object) -> str:
    message = f"tensor '{tensor}': expected {datatype.name} values, got {reprlib.repr(value)}"
    if _is_floating(datatype) and not _element_types(value).isdisjoint((str, type(None))):
        message += '; send NaN and infinities as "NaN", "Infinity" and "-Infinity"'
    return message


def _ragged(tensor: str, datatype: Datatype) -> str:
    return f"tensor '{tensor}': expected a rectangular array of {datatype.name}, got ragged lists"
