"""Shares a number of places among tenants."""

from __future__ import annotations

import asyncio
from collections import Counter, deque


class Turns:
    """A semaphore of which one tenant holds at most half.

    A free place goes to the waiting tenant that holds the fewest, and among these to the one that
    was served longest ago. So a tenant whose requests are slow waits for itself.
    """

    def __init__(self, places: int) -> None:
        self._free = places
        self._share = max(1, places // 2)
        self._held: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    async def acquire(self, tenant: str) -> None:
        """Take a place when it is the tenant's turn."""
        if self._free and self._held[tenant] < self._share and not self._waiting:
            self._take(tenant)
        else:
            await self._wait(tenant)

    def release(self, tenant: str) -> None:
        """Give a place back."""
        self._free += 1
        self._held[tenant] -= 1
        if not self._held[tenant]:
            del self._held[tenant]
        self._hand_out()

    async def _wait(self, tenant: str) -> None:
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(tenant, deque()).append(place)
        self._hand_out()
        try:
            await place
        except asyncio.CancelledError:
            if place.cancelled():
                self._forget(tenant, place)
            else:  # it was given the place in the same turn of the loop
                self.release(tenant)
            raise

    def _take(self, tenant: str) -> None:
        self._free -= 1
        self._held[tenant] += 1

    def _hand_out(self) -> None:
        while self._free:
            entitled = [one for one in self._waiting if self._held[one] < self._share]
            if not entitled:
                return
            tenant = min(entitled, key=self._held.__getitem__)
            queue = self._waiting.pop(tenant)
            place = queue.popleft()
            if queue:
                self._waiting[tenant] = queue  # behind the others
            if not place.done():
                self._take(tenant)
                place.set_result(None)

    def _forget(self, tenant: str, place: asyncio.Future[None]) -> None:
        queue = self._waiting.get(tenant)
        if queue is not None and place in queue:
            queue.remove(place)
            if not queue:
                del self._waiting[tenant]
