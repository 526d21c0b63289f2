"""Identifiers: only the gateway mints them; everybody else echoes."""

from __future__ import annotations

import os
from uuid import UUID

_BYTES = 16
_AT_ONCE = 256
_VARIANT = "89ab"


class _Pool:
    """Random bytes, asked for in bulk: the system call costs ten times the id."""

    def __init__(self) -> None:
        self._digits = ""
        self._next = 0

    def take(self) -> str:
        """Return 32 random hexadecimal digits."""
        if self._next >= len(self._digits):
            self._digits = os.urandom(_BYTES * _AT_ONCE).hex()
            self._next = 0
        start = self._next
        self._next = start + 2 * _BYTES
        return self._digits[start : self._next]


_pool = _Pool()
os.register_at_fork(after_in_child=_pool.__init__)  # type: ignore[misc]  # no id twice


def new_id() -> str:
    """Return a new id for a row or a run: a random UUID in its 36-character form (RFC 9562)."""
    h = _pool.take()
    variant = _VARIANT[int(h[16], 16) & 3]
    return f"{h[:8]}-{h[8:12]}-4{h[13:16]}-{variant}{h[17:20]}-{h[20:]}"


def is_id(text: str) -> bool:
    """Whether `text` has the form of an id, so that looking it up can be worth it."""
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False
