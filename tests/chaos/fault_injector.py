"""Who kills: one thing after the other, at random, and nothing is left out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from random import Random

from tests.chaos.environment import STRIKES, ChaosEnvironment

_SHORTEST_SECONDS, _LONGEST_SECONDS = 1.0, 4.0
_LOOKS, _LOOK_SECONDS = 10, 1.0


class FaultInjector:
    """Strikes until told to stop.

    Attributes:
        hits: how often each kind was really hit.
        revivals: how often `up` had to be started again.
    """

    def __init__(
        self, environment: ChaosEnvironment, random: Random, tell: Callable[[str], None]
    ) -> None:
        """Know the ground; `tell` gets a line for each strike."""
        self.hits = dict.fromkeys(STRIKES, 0)
        self.revivals = 0
        self._ground = environment
        self._random = random
        self._tell = tell

    async def run(self, seconds: float) -> None:
        """Strike for so long, then see that `up` runs."""
        end = time.monotonic() + seconds
        while True:
            kinds = list(STRIKES)
            self._random.shuffle(kinds)
            for kind in kinds:
                pause = self._random.uniform(_SHORTEST_SECONDS, _LONGEST_SECONDS)
                if time.monotonic() + pause > end:
                    await self._revive()
                    return
                await asyncio.sleep(pause)
                await self._strike(kind)

    async def _strike(self, kind: str) -> None:
        await self._revive()
        for _ in range(_LOOKS):
            said = await asyncio.to_thread(STRIKES[kind], self._ground, self._random)
            if said is not None:
                self.hits[kind] += 1
                break
            await asyncio.sleep(_LOOK_SECONDS)  # it is on its way up
        self._tell(f"{kind}: {said or 'there was none'}")
        await self._revive()

    async def _revive(self) -> None:
        if await asyncio.to_thread(self._ground.revive):
            self.revivals += 1
