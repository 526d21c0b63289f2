"""Ids that begin with a text."""

from __future__ import annotations

from typing import NamedTuple

from gateway.ids import NIL_ID, is_id

MIN_LENGTH = 8
"""Characters of an id that are needed to find it: fewer would select too many rows."""
_REQUEST = "req_"


class IdRange(NamedTuple):
    """The first and the last id that begin with a text."""

    low: str
    high: str

    @classmethod
    def of(cls, text: str) -> IdRange | None:
        """Return the ids that begin with `text`; None: none does, or it is too short.

        The id that a gateway gives a request is that of its run, after `req_`.
        """
        start = text.lower().removeprefix(_REQUEST)
        rest = NIL_ID[len(start) :]
        if len(start) < MIN_LENGTH or not is_id(start + rest):
            return None
        return cls(start + rest, start + rest.replace("0", "f"))
