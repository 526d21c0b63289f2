"""Injects faults one after the other, in random order, each kind equally often."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from random import Random

from tests.chaos.environment import ChaosEnvironment
from tests.chaos.faults import Fault

_MIN_PAUSE_SECONDS, _MAX_PAUSE_SECONDS = 1.0, 4.0
_ATTEMPTS, _POLL_SECONDS = 10, 1.0


class FaultInjector:
    """Injects faults for a given time.

    Attributes:
        hits: the number of successful faults of each kind.
        restarts: the number of restarts of `up`.
    """

    def __init__(
        self,
        environment: ChaosEnvironment,
        faults: Mapping[str, Fault],
        random: Random,
        print_status: Callable[[str], None],
    ) -> None:
        """`print_status` gets a line for each fault."""
        self.hits = dict.fromkeys(faults, 0)
        self.restarts = 0
        self._environment = environment
        self._faults = faults
        self._random = random
        self._print_status = print_status

    async def run(self, seconds: float) -> None:
        """Inject faults for `seconds`, then make sure that `up` runs."""
        end = time.monotonic() + seconds
        while True:
            kinds = list(self._faults)
            self._random.shuffle(kinds)
            for kind in kinds:
                pause = self._random.uniform(_MIN_PAUSE_SECONDS, _MAX_PAUSE_SECONDS)
                if time.monotonic() + pause > end:
                    await self._restart_if_ended()
                    return
                await asyncio.sleep(pause)
                await self._inject(kind)

    async def _inject(self, kind: str) -> None:
        await self._restart_if_ended()
        for _ in range(_ATTEMPTS):
            target = await asyncio.to_thread(self._faults[kind], self._environment, self._random)
            if target is not None:
                self.hits[kind] += 1
                break
            await asyncio.sleep(_POLL_SECONDS)  # the process may be starting
            await self._restart_if_ended()
        self._print_status(f"{kind}: {target or 'there was none'}")
        await self._restart_if_ended()

    async def _restart_if_ended(self) -> None:
        if await asyncio.to_thread(self._environment.restart_if_ended):
            self.restarts += 1
