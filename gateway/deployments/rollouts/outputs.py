"""Whether two versions have the same output."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
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
    found = _difference(orjson.loads(baseline), orjson.loads(candidate), tolerance)
    if found is None:
        return None
    path, before, after = found
    pointer = "".join(f"/{step}" for step in reversed(path))
    return f"{pointer or '/'} is {_shown(before)} by the live version, and {_shown(after)}"


# Any: what JSON has
def _difference(old: Any, new: Any, tolerance: float) -> tuple[list[object], Any, Any] | None:
    """Return where the two differ, from the inside out, and both values."""
    pairs: Iterable[tuple[object, Any, Any]]
    if isinstance(old, dict) and isinstance(new, dict) and old.keys() == new.keys():
        pairs = ((key, old[key], new[key]) for key in old)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = zip(count(), old, new, strict=False)
    elif _is_number(old) and _is_number(new):
        equal = isclose(old, new, rel_tol=tolerance, abs_tol=tolerance)
        return None if equal else ([], old, new)
    else:
        return None if old == new and type(old) is type(new) else ([], old, new)
    for step, first, second in pairs:
        found = _difference(first, second, tolerance)
        if found is not None:
            found[0].append(step)
            return found
    return None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value: object) -> str:
    return orjson.dumps(value).decode()[:_MAX_EXAMPLE]
