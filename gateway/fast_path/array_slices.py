"""Arrays as JSON values, in slices. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import orjson

from gateway.steps import Steps

_NUMBERS = 1 << 13
"""Of a slice, which takes a millisecond or two."""


def in_slices(array: np.ndarray, convert: Callable[[np.ndarray], list[Any]]) -> Steps[list[Any]]:
    """Return `convert(array)` of an array with dimensions, computed slice by slice. Any: JSON."""
    if array.size <= _NUMBERS:
        return convert(array)
    rows = max(1, _NUMBERS * len(array) // array.size)
    made: list[Any] = []
    if rows == 1 and array.ndim > 1 and convert is to_lists:
        for row in array:
            made.append((yield from in_slices(row, convert)))
            yield
        return made
    for start in range(0, len(array), rows):
        made += convert(array[start : start + rows])
        yield
    return made


def to_lists(array: np.ndarray) -> list[Any]:
    """Return an array of numbers as lists (Any: JSON); NaN and infinities are numbers, too.

    By orjson, which writes a float32 with the digits that it has.
    """
    lists: list[Any] = orjson.loads(orjson.dumps(array, option=orjson.OPT_SERIALIZE_NUMPY))
    restore_non_finite(lists, array)
    return lists


def restore_non_finite(lists: list[Any], array: np.ndarray) -> None:
    """Put the NaN and infinities of `array` into `lists` (Any: JSON), where these have null."""
    for index in np.argwhere(~np.isfinite(array)).tolist():
        row = lists
        for at in index[:-1]:
            row = row[at]
        row[index[-1]] = float(array[tuple(index)])
