"""Whether anybody still calls: looked at now and then, so that no call pays for it."""

from __future__ import annotations

import asyncio
from time import monotonic

from inference_server.dataplane import DataPlane

_LOOKS = 20
"""In the time after which a server is idle: it is found out late by a twentieth at most."""
_LONGEST_PAUSE_SECONDS = 5.0


class Idleness:
    """How long ago the last inference call was.

    A call that waits or runs is asked for still, however long it takes. Everything else that a
    server answers (probes, metadata, statistics, metrics) is no reason for it to be there.
    """

    def __init__(self, plane: DataPlane, seconds: float) -> None:
        """Look at the calls of `plane`; without one for `seconds` it is idle."""
        self._plane = plane
        self._seconds = seconds
        self._pause = min(seconds / _LOOKS, _LONGEST_PAUSE_SECONDS)

    async def lasts(self) -> None:
        """Return when a server that is ready has been idle; while it is not ready, it is not."""
        plane = self._plane
        answered, since = plane.answered, monotonic()
        while monotonic() - since < self._seconds:
            await asyncio.sleep(self._pause)
            if plane.busy or plane.answered != answered or not plane.ready():
                answered, since = plane.answered, monotonic()
