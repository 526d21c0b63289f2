"""Compares two answers, and says where they differ. Pure; large ones are compared elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, zip_longest
from typing import Any

import orjson

from gateway.flows.validation import pointer_token

RELATIVE_TOLERANCE = 1e-6
"""Of numbers of which one at least is no integer: two versions of a model round differently."""
ABSOLUTE_TOLERANCE = 1e-9
"""The same near zero, where models of 32 bits have hardly any digits left."""
MAX_POINTERS = 5
"""Places that are told of one answer."""
MAX_CHARACTERS = 500
"""Of a value that is told."""

_NON_FINITE = frozenset({"NaN", "Infinity", "-Infinity"})
_ABSENT = object()

# Any, throughout: JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueDifference:
    """A place where two answers differ."""

    pointer: str
    """Within `output_data` (RFC 6901)."""
    live: str | None
    """JSON, cut; None: absent."""
    draft: str | None


def find_differences(live: bytes, draft: bytes, null_non_finite: bool) -> list[ValueDifference]:
    """Return the first MAX_POINTERS differences of two answers, as JSON.

    With `null_non_finite`, a null of `live` is equal to a NaN or an infinity of `draft`.
    """
    found = _differences("", orjson.loads(live), orjson.loads(draft), null_non_finite)
    return list(islice(found, MAX_POINTERS))


def cut_text(text: str) -> str:
    """Return a text of at most MAX_CHARACTERS; `…` is at the end of one that was cut."""
    return text if len(text) <= MAX_CHARACTERS else f"{text[: MAX_CHARACTERS - 1]}…"


def _shown(value: Any) -> str | None:
    return None if value is _ABSENT else cut_text(orjson.dumps(value).decode())


def _differences(
    pointer: str, live: Any, draft: Any, null_non_finite: bool
) -> Iterator[ValueDifference]:
    if isinstance(live, dict) and isinstance(draft, dict):
        for name in sorted(live.keys() | draft.keys()):
            at = f"{pointer}/{pointer_token(name)}"
            pair = live.get(name, _ABSENT), draft.get(name, _ABSENT)
            yield from _differences(at, *pair, null_non_finite)
    elif isinstance(live, list) and isinstance(draft, list):
        pairs = zip_longest(live, draft, fillvalue=_ABSENT)
        for index, (old, new) in enumerate(pairs):
            yield from _differences(f"{pointer}/{index}", old, new, null_non_finite)
    elif not _equal(live, draft, null_non_finite):
        yield ValueDifference(pointer=pointer, live=_shown(live), draft=_shown(draft))


def _equal(live: Any, draft: Any, null_non_finite: bool) -> bool:
    if _is_number(live) and _is_number(draft):
        if isinstance(live, int) and isinstance(draft, int):
            return live == draft
        return math.isclose(live, draft, rel_tol=RELATIVE_TOLERANCE, abs_tol=ABSOLUTE_TOLERANCE)
    if null_non_finite and live is None and isinstance(draft, str):
        return draft in _NON_FINITE
    return type(live) is type(draft) and bool(live == draft)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
