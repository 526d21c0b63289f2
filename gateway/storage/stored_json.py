"""JSON as it is stored. Pure; a large document is written on the event loop, so quickly."""

from __future__ import annotations

import json
from typing import Any

import orjson

_OPTIONS = (
    orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)


def dump_stored(value: Any) -> bytes:
    """Return a JSON value (Any) as UTF-8, without spaces.

    Raises:
        ValueError: it has NaN or an infinity, which the databases cannot read back;
            UnicodeEncodeError for half of a surrogate pair.
        TypeError: it is not JSON.
    """
    try:
        written = orjson.dumps(value, option=_OPTIONS)
    except TypeError:  # it has an integer of more than 64 bits, for one
        pass
    else:
        if b"null" not in written:  # which orjson writes for NaN, too
            return written
    text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return text.encode()
