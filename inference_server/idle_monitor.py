"""Whether anybody still calls: looked at now and then, so that no call pays for it."""

from __future__ import annotations

import asyncio
from time import monotonic

from inference_server.data_plane.served_model import ServedModel

_FIRST_CALL_SECONDS = 90.0
"""How long at least to wait for the first call. Whoever has a server woken is told to come again,
and some come after a minute; it must not be asleep again by then."""
_LOOKS = 20
"""In the time after which a server is idle: it is found out late by a twentieth at most."""
_LONGEST_PAUSE_SECONDS = 5.0


class IdleMonitor:
    """How long ago the last inference call was.

    A call that waits or runs is a call still, however long it takes. Everything else that a server
    answers (probes, metadata, statistics, metrics) is no reason for it to be there.
    """

    def __init__(self, plane: ServedModel, seconds: float) -> None:
        """Look at the calls of `plane`; without one for `seconds` it is idle."""
        self._plane = plane
        self._seconds = seconds
        self._pause = min(seconds / _LOOKS, _LONGEST_PAUSE_SECONDS)

    async def lasts(self) -> None:
        """Return when a server that is ready has been idle; while it is not ready, it is not."""
        plane = self._plane
        answered, since = plane.answered, monotonic()
        patience = max(self._seconds, _FIRST_CALL_SECONDS)
        while monotonic() - since < patience:
            await asyncio.sleep(self._pause)
            called = plane.busy or plane.answered != answered
            if called or not plane.ready():
                answered, since = plane.answered, monotonic()
            if called and plane.ready():
                patience = self._seconds
