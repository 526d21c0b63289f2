"""Rectangular arrays of numbers that were read out of JSON text without an object for each number.

pysimdjson reads them (docs/adr/0010-large-json.md). Where it is not installed, for want of a wheel
for the Python version, nobody makes any.
"""

from __future__ import annotations

import math
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

import numpy as np

AVAILABLE = find_spec("simdjson") is not None
"""Whether there is a parser for them."""

if TYPE_CHECKING or AVAILABLE:
    import simdjson

_DTYPES = {"d": "<f8", "i": "<i8", "u": "<u8"}


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
