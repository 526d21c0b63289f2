"""Large JSON bodies: their arrays of numbers are read by themselves, everything else by orjson.

orjson makes a Python object of every number and numpy reads them all again, which takes longer than
parsing. An array is taken out of the text only where its brackets and commas are those of a
rectangle; the numbers between them are for the parser to judge. Whatever is unusual in a body has
it read by orjson, whole, so that both ways accept the same and refuse the same.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

import numpy as np
import orjson

from protos.tensors import MAX_RANK

SIMDJSON_AVAILABLE = find_spec("simdjson") is not None
"""Whether there is a parser for them."""

if TYPE_CHECKING or SIMDJSON_AVAILABLE:
    import simdjson

LARGE_BYTES = 16 * 2**10
"""In a smaller body it is not worth while to look for arrays."""

_LARGE_ARRAY = 8 * 2**10
_MOST_STRINGS = 512
_MOST_CLOSING = 16
_NUMBERS_AND_SPACE = b"0123456789.eE+- \t\r\n"
_DTYPES = {"d": "<f8", "i": "<i8", "u": "<u8"}
_TOKEN = secrets.token_hex(16)
"""Stands for an array in what is left of a body; no sender can know it."""


class NumberArray:
    """An array whose numbers JSON text spells; it stands where orjson would have put lists."""

    __slots__ = ("_array", "shape")

    def __init__(self, text: memoryview, shape: tuple[int, ...]) -> None:
        """Read `text`, which is nested as `shape` says, but for arrays without elements.

        Raises:
            ValueError: it is no JSON array, or a number in it takes more than 64 bits.
        """
        self.shape = shape
        """Its nesting, each length at least 1."""
        self._array = _parsed(text)

    def read(self, kind: Literal["d", "i", "u"]) -> np.ndarray | None:
        """Return the numbers in the array's shape.

        Args:
            kind: as what: `d` as float64, `i` as int64, `u` as uint64.

        Returns:
            None where one of them cannot be had so without a change, or is none; an integer beyond
            2**53 is rounded to float64, all the same.
        """
        try:
            buffer = self._array.as_buffer(of_type=kind)
        except (TypeError, ValueError):
            return None
        numbers = np.frombuffer(buffer, _DTYPES[kind])
        return numbers.reshape(self.shape) if numbers.size == math.prod(self.shape) else None

    def as_list(self) -> list[object]:
        """Return what orjson makes of the same text."""
        return list(self._array.as_list())


def _parsed(text: memoryview) -> simdjson.Array:
    try:
        array = simdjson.Parser().parse(text)
    except RuntimeError as error:  # what pysimdjson makes of an integer such as 2**70
        raise ValueError(str(error)) from None
    assert isinstance(array, simdjson.Array), "the text is in brackets"
    return array


def loads(body: bytes) -> object:
    """Return what `orjson.loads` does, but with NumberArrays for the large ones in objects.

    Raises:
        orjson.JSONDecodeError: `body` is not JSON.
    """
    arrays: dict[str, NumberArray] = {}
    rest: list[bytes | memoryview] = []
    view, position = memoryview(body), 0
    for start, end, shape in _rectangles(body):
        token = f"{_TOKEN}{len(arrays)}"
        try:
            arrays[token] = NumberArray(view[start:end], shape)
        except ValueError:
            return orjson.loads(body)
        rest += (view[position:start], b'"%b"' % token.encode())
        position = end
    if not arrays:
        return orjson.loads(body)
    try:
        document = orjson.loads(b"".join((*rest, view[position:])))
    except orjson.JSONDecodeError:
        return orjson.loads(body)  # says where in the body as it came
    _put_back(document, arrays)
    return document


def _put_back(document: object, arrays: dict[str, NumberArray]) -> None:
    """Put the arrays where their tokens are: a loop, for the nesting may be deep."""
    containers = [document]
    while containers:
        container = containers.pop()
        if type(container) is list:
            containers += [item for item in container if type(item) in (dict, list)]
        elif type(container) is dict:
            for key, value in container.items():
                if type(value) is str:
                    container[key] = arrays.get(value, value)
                else:
                    containers.append(value)


def _rectangles(body: bytes) -> Iterator[tuple[int, int, tuple[int, ...]]]:
    """Yield start, end and shape of each large array that is a member of an object."""
    if not SIMDJSON_AVAILABLE or b"\\" in body:  # strings end at the next quote, then
        return
    for start, end in _between_strings(body):
        if end - start >= _LARGE_ARRAY:
            segment = body[start:end]
            found = _rectangle(segment)
            if found is not None:
                length, shape = found
                opening = segment.index(b"[")
                yield start + opening, start + length, shape


def _between_strings(body: bytes) -> Iterator[tuple[int, int]]:
    """Yield where there is no string; nothing after many strings."""
    start = 0
    for _ in range(_MOST_STRINGS):
        opening = body.find(b'"', start)
        if opening < 0:
            yield start, len(body)
            return
        yield start, opening
        start = body.find(b'"', opening + 1) + 1
        if not start:
            return


def _rectangle(segment: bytes) -> tuple[int, tuple[int, ...]] | None:
    """Return where the array that `segment` begins with ends, and its shape.

    Args:
        segment: what comes after a member's name: a colon, its value, and more without strings.

    Returns:
        None where it is no array, or not the same length everywhere. `[]` passes for `[1]` here.
    """
    skeleton = segment.translate(None, _NUMBERS_AND_SPACE)
    if not skeleton.startswith(b":["):
        return None
    depth = 1
    while skeleton.startswith(b"[", depth + 1):
        depth += 1
        if depth > MAX_RANK:
            return None
    expected = b""
    shape: tuple[int, ...] = ()
    for level in range(1, depth + 1):  # from the innermost array outwards
        closing = skeleton.find(b"]" * level, depth) + level
        length = closing - (depth + 1 - level)
        count, odd = divmod(length - 1, len(expected) + 1)
        if odd or count < 1:
            return None
        expected = b"[%b]" % ((expected + b",") * count)[:-1]
        shape = (count, *shape)
    if not skeleton.startswith(expected, 1):
        return None
    end = _end(segment, skeleton.count(b"]", 1 + len(expected)))
    return None if end is None else (end, shape)


def _end(segment: bytes, brackets: int) -> int | None:
    """Return the end of the array after which `brackets` more close."""
    if brackets > _MOST_CLOSING:
        return None
    end = len(segment)
    for _ in range(brackets + 1):
        end = segment.rindex(b"]", 0, end)
    return end + 1
