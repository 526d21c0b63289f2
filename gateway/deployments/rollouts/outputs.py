"""Whether two versions have the same output."""

from __future__ import annotations

from math import isclose
from typing import Any

import orjson

_MAX_EXAMPLE = 80
"""Characters of a value that a message shows."""


def find_difference(baseline: bytes, candidate: bytes, tolerance: float) -> str | None:
    """Return the first difference of two `output_data`, which are JSON, or None.

    Numbers are equal within `tolerance`, absolutely or relative to the larger one.
    """
    if baseline == candidate:
        return None
    return _difference(orjson.loads(baseline), orjson.loads(candidate), tolerance, "")


# Any: what JSON has
def _difference(old: Any, new: Any, tolerance: float, pointer: str) -> str | None:
    if isinstance(old, dict) and isinstance(new, dict) and old.keys() == new.keys():
        pairs = [(f"{pointer}/{key}", old[key], new[key]) for key in old]
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = [(f"{pointer}/{at}", *each) for at, each in enumerate(zip(old, new, strict=True))]
    elif _is_number(old) and _is_number(new):
        equal = isclose(old, new, rel_tol=tolerance, abs_tol=tolerance)
        return None if equal else _shown(pointer, old, new)
    else:
        return None if old == new and type(old) is type(new) else _shown(pointer, old, new)
    for at, first, second in pairs:
        found = _difference(first, second, tolerance, at)
        if found is not None:
            return found
    return None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(pointer: str, old: object, new: object) -> str:
    before, after = (orjson.dumps(value).decode()[:_MAX_EXAMPLE] for value in (old, new))
    return f"{pointer or '/'} is {before} by the live version, and {after}"
