"""JSON as it is stored. Pure; a large document is written on the event loop, so quickly."""

from __future__ import annotations

import json
from typing import Any

import orjson

from protos.non_finite import find_non_finite


def dump_stored(value: Any) -> bytes:
    """Return a JSON value (Any) as UTF-8.

    Raises:
        ValueError: it has NaN or an infinity, which the databases cannot read back;
            UnicodeEncodeError for half of a surrogate pair.
        TypeError: it is not JSON.
    """
    try:
        written = orjson.dumps(value)
    except TypeError:  # has integers of more than 64 bits, for one
        text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        return text.encode()
    # orjson writes NaN as null.
    if b"null" in written and (found := find_non_finite(value)) is not None:
        raise ValueError(f"not JSON: {found}")
    return written
