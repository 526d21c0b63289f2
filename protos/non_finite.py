"""NaN and infinities in JSON, which has no such numbers.

They are the strings "NaN", "Infinity" and "-Infinity", as in protobuf's JSON mapping
(https://protobuf.dev/programming-guides/json/). Where orjson is not told so, it writes null. Pure;
imported by evaluators, so without numpy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import orjson

NON_FINITE: Mapping[str, float] = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_NUMBERS = frozenset({float, int, bool})


def non_finite_name(number: float) -> str:
    """Return the string for NaN or an infinity."""
    if math.isnan(number):
        return "NaN"
    return "Infinity" if number > 0 else "-Infinity"


def find_non_finite(value: Any, path: str = "") -> str | None:
    """Return the first NaN or infinity in a JSON value (Any), such as `p[0]: NaN`, or None."""
    if isinstance(value, float):
        return None if math.isfinite(value) else f"{path}: {non_finite_name(value)}"
    if isinstance(value, dict):
        prefix = f"{path}." if path else ""
        found = (find_non_finite(member, f"{prefix}{name}") for name, member in value.items())
    elif isinstance(value, list | tuple) and not _all_finite(value):
        found = (find_non_finite(member, f"{path}[{at}]") for at, member in enumerate(value))
    else:
        return None
    return next(filter(None, found), None)


def dump_with_strings(value: Any) -> bytes:
    """Return JSON (Any) with strings in place of NaN and infinities; raises as `orjson.dumps`."""
    written = orjson.dumps(value)
    return orjson.dumps(as_strings(value)) if b"null" in written else written


def as_strings(value: Any) -> Any:
    """Return a JSON value (Any) with strings in place of NaN and infinities."""
    if isinstance(value, float):
        return value if math.isfinite(value) else non_finite_name(value)
    if isinstance(value, dict):
        return {name: as_strings(member) for name, member in value.items()}
    if isinstance(value, list | tuple) and not _all_finite(value):
        return [as_strings(member) for member in value]
    return value


def _all_finite(values: list[Any] | tuple[Any, ...]) -> bool:
    """Whether all are finite numbers; quick, as most long lists are."""
    return _NUMBERS.issuperset(map(type, values)) and all(map(math.isfinite, values))
