"""The well-behaved client: fast calls at a fixed rate, timed from when each was due."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

import aiohttp
import numpy as np

from tests.abuse.target import GoodUser

RATE = 100
"""Fast calls a second."""

_BODY = {"input_data": {"x": [[5.1, 3.5, 1.4, 0.2]]}}
_NUMBER = {"input_data": {"x": 21}}
_TIMEOUT_SECONDS = 10.0
_BUSY_CALLERS, _BUSY_PAUSE_SECONDS = 2, 0.1


@dataclass(slots=True)
class Figures:
    """What a client has seen.

    Attributes:
        seconds: how long each successful fast call took, from when it was due.
        failed: how often a fast call failed, by status or error.
        busy: the answers to the other calls of the same user.
    """

    seconds: list[float] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)
    busy: Counter[str] = field(default_factory=Counter)

    @property
    def calls(self) -> int:
        """The number of fast calls."""
        return len(self.seconds) + self.failed.total()

    @property
    def success(self) -> float:
        """The share of fast calls that succeeded."""
        return len(self.seconds) / max(1, self.calls)

    def percentile(self, share: float) -> float:
        """Return a percentile of the latency in seconds."""
        return float(np.percentile(self.seconds, share)) if self.seconds else float("inf")


class GoodClient:
    """Calls all the time; each phase has figures of its own. To be created in an event loop.

    Not by httpx: for each call, it looks at every connection that is open. After a short delay of
    all calls it was busy for a second at a time, while the gateway waited for it.
    """

    def __init__(self, user: GoodUser) -> None:
        self.figures = Figures()
        self._user = user
        self._calls: set[asyncio.Task[None]] = set()
        self._http = aiohttp.ClientSession(
            user.url,
            headers={"X-API-Key": user.key},
            timeout=aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS),
            connector=aiohttp.TCPConnector(limit=0),
        )

    async def measure(self, seconds: float) -> Figures:
        """Call for `seconds`; return what came of these calls."""
        figures = self.figures = Figures()
        busy = [
            asyncio.create_task(self._keep_busy(deployment))
            for deployment in (self._user.sync, self._user.queued)
            for _ in range(_BUSY_CALLERS)
        ]
        began = time.perf_counter()
        for number in range(int(seconds * RATE)):
            due = began + number / RATE
            await asyncio.sleep(due - time.perf_counter())
            call = asyncio.create_task(self._call(due, figures))
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)
        await asyncio.gather(*self._calls)
        for task in busy:
            task.cancel()
        await asyncio.gather(*busy, return_exceptions=True)
        return figures

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def _call(self, due: float, figures: Figures) -> None:
        answer = await self._post(self._user.fast, _BODY)
        if answer == "200":
            figures.seconds.append(time.perf_counter() - due)
        else:
            figures.failed[answer] += 1

    async def _keep_busy(self, deployment: str) -> None:
        while True:
            self.figures.busy[await self._post(deployment, _NUMBER)] += 1
            await asyncio.sleep(_BUSY_PAUSE_SECONDS)

    async def _post(self, deployment: str, body: object) -> str:
        try:
            async with self._http.post(
                f"/node/deployment-trigger/{deployment}/", json=body
            ) as answer:
                content = await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            return type(error).__name__
        if answer.ok:
            return str(answer.status)
        with suppress(ValueError, AttributeError):  # it is no JSON, or no object
            return f"{answer.status} {json.loads(content).get('code')}"
        return f"{answer.status} {content[:80]!r}"
