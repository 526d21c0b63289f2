"""Large JSON bodies: pysimdjson reads their arrays of numbers, orjson reads everything else.

orjson makes a Python object of every number and numpy reads all of them again, which takes longer
than the parsing. Here each large array is cut out of the text, parsed by pysimdjson without Python
objects, and replaced by a token for orjson (docs/adr/0010-large-json.md).

An array is cut out only if its brackets and commas are those of a rectangle; the numbers between
them are left to the parser to validate. A body with anything unusual is read by orjson as a whole,
so both ways accept and refuse the same bodies.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

import numpy as np
import orjson

from protos.tensors import MAX_RANK

SIMDJSON_AVAILABLE = find_spec("simdjson") is not None
"""False where pysimdjson has no wheel for the Python version: then orjson reads everything."""

if TYPE_CHECKING or SIMDJSON_AVAILABLE:
    import simdjson

LARGE_BYTES = 16 * 2**10
"""Smaller bodies are not worth a search for arrays."""

_MIN_ARRAY_BYTES = 8 * 2**10
_MAX_STRINGS = 512
_MAX_CLOSING_BRACKETS = 16
_NUMBERS_AND_SPACE = b"0123456789.eE+- \t\r\n"
_DTYPES = {"d": "<f8", "i": "<i8", "u": "<u8"}
_TOKEN = secrets.token_hex(16)
"""Prefix of the tokens that replace arrays; random, so that no client can send one."""


Rectangle = tuple[int, int, tuple[int, ...]]
"""Start and end of an array in a body, and its shape."""


def _accept(_: bytes) -> None:
    """Accept every nesting."""


class NumberArray:
    """A rectangular array of numbers, parsed from JSON without a Python object for each number."""

    __slots__ = ("_array", "shape")

    def __init__(self, text: memoryview, shape: tuple[int, ...]) -> None:
        """Parse `text`, which is nested as `shape`, except that innermost arrays may be empty.

        Raises:
            ValueError: it is not a JSON array, or contains an integer of more than 64 bits.
        """
        self.shape = shape
        """Its nesting; each length is at least 1."""
        self._array = _parse(text)

    def read(self, kind: Literal["d", "i", "u"]) -> np.ndarray | None:
        """Return the numbers in the array's shape.

        Args:
            kind: `d` for float64, `i` for int64, `u` for uint64.

        Returns:
            None if an element is not a number or has no exact value of that kind. Integers above
            2**53, however, are rounded to float64.
        """
        try:
            buffer = self._array.as_buffer(of_type=kind)
        except (TypeError, ValueError):
            return None
        numbers = np.frombuffer(buffer, _DTYPES[kind])
        return numbers.reshape(self.shape) if numbers.size == math.prod(self.shape) else None

    def as_list(self) -> list[object]:
        """Return the nested lists that orjson returns for the same text."""
        return list(self._array.as_list())


def _parse(text: memoryview) -> simdjson.Array:
    try:
        array = simdjson.Parser().parse(text)
    except RuntimeError as error:  # raised by pysimdjson for an integer such as 2**70
        raise ValueError(str(error)) from None
    assert isinstance(array, simdjson.Array), "the text is in brackets"
    return array


def loads(body: bytes, check_nesting: Callable[[bytes], None] = _accept) -> object:
    """Parse as `orjson.loads` does, but with a NumberArray for each large array in an object.

    Args:
        body: the text.
        check_nesting: called before a parser with a text that is nested as `body`; may raise. Large
            arrays are empty in it, so that it takes no time to look at them.

    Raises:
        orjson.JSONDecodeError: `body` is not JSON.
    """
    found = list(_rectangles(body))
    if not found:
        check_nesting(body)
        return orjson.loads(body)
    check_nesting(_replaced(body, found, [b"[" * len(one) + b"]" * len(one) for *_, one in found]))
    view = memoryview(body)
    try:
        arrays = {
            f"{_TOKEN}{number}": NumberArray(view[start:end], shape)
            for number, (start, end, shape) in enumerate(found)
        }
        tokens = [b'"%b"' % token.encode() for token in arrays]
        document = orjson.loads(_replaced(body, found, tokens))
    except ValueError:
        return orjson.loads(body)  # its error gives the position in the original body
    _replace_tokens(document, arrays)
    return document


def _replaced(body: bytes, found: Sequence[Rectangle], texts: Sequence[bytes]) -> bytes:
    """Return the body with a text in place of each array."""
    parts: list[bytes | memoryview] = []
    view, position = memoryview(body), 0
    for (start, end, _), text in zip(found, texts, strict=True):
        parts += (view[position:start], text)
        position = end
    return b"".join((*parts, view[position:]))


def _replace_tokens(document: object, arrays: dict[str, NumberArray]) -> None:
    """Replace the tokens by their arrays; a loop, because the nesting may be deep."""
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


def _rectangles(body: bytes) -> Iterator[Rectangle]:
    """Yield each large array that is a member of an object."""
    if (
        not SIMDJSON_AVAILABLE or b"\\" in body
    ):  # without a backslash, a string ends at the next quote
        return
    for start, end in _outside_strings(body):
        if end - start >= _MIN_ARRAY_BYTES:
            segment = body[start:end]
            found = _rectangle(segment)
            if found is not None:
                length, shape = found
                opening = segment.index(b"[")
                yield start + opening, start + length, shape


def _outside_strings(body: bytes) -> Iterator[tuple[int, int]]:
    """Yield start and end of the text between strings; stops after many strings."""
    start = 0
    for _ in range(_MAX_STRINGS):
        opening = body.find(b'"', start)
        if opening < 0:
            yield start, len(body)
            return
        yield start, opening
        start = body.find(b'"', opening + 1) + 1
        if not start:
            return


def _rectangle(segment: bytes) -> tuple[int, tuple[int, ...]] | None:
    """Return the end and the shape of the array at the start of `segment`.

    Args:
        segment: the text after a member's name: a colon, its value, and more without strings.

    Returns:
        None if it is not an array or not rectangular. `[]` counts as `[1]` here.
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
    end = _array_end(segment, skeleton.count(b"]", 1 + len(expected)))
    return None if end is None else (end, shape)


def _array_end(segment: bytes, brackets: int) -> int | None:
    """Return the end of the array behind which `brackets` more brackets close."""
    if brackets > _MAX_CLOSING_BRACKETS:
        return None
    end = len(segment)
    for _ in range(brackets + 1):
        end = segment.rindex(b"]", 0, end)
    return end + 1
