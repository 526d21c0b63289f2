"""How often the log of a replica is written."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

_FIRST_SECONDS = 1.0
"""From the first write of a log that was quiet to the second one."""
_SECONDS = 5.0
"""Between later writes, while lines keep coming: each one replaces all lines."""


class LogPace:
    """Says whose log may be written now.

    A log is quiet when it had no new line for `_SECONDS` after it might be written again.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._due: dict[str, float] = {}

    def is_due(self, key: str) -> bool:
        """Whether the log of a replica may be written."""
        return self._clock() >= self._due.get(key, 0.0)

    def note_write(self, key: str) -> None:
        """Note that the log of a replica was written now."""
        now = self._clock()
        due = self._due.get(key)
        is_quiet = due is None or now - due > _SECONDS
        self._due[key] = now + (_FIRST_SECONDS if is_quiet else _SECONDS)

    def forget(self, key: str) -> None:
        """The log of a replica has ended."""
        self._due.pop(key, None)
