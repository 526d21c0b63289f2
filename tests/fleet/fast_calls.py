"""Fast calls without a pause or a retry: when each began, and what came."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import httpx

from tests.chaos.callers import Callers

_BODY = {"input_data": {"x": [[5.1, 3.5, 1.4, 0.2]]}}
_PAUSE_SECONDS = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A call that failed: from when to when it went on, by `time.monotonic`, and why."""

    began: float
    ended: float
    reason: str

    def seconds_after(self, hits: Sequence[float]) -> float:
        """Return how long after the last hit it began; 0 if it was in flight at one."""
        if any(self.began <= hit <= self.ended for hit in hits):
            return 0.0
        return min((self.began - hit for hit in hits if hit <= self.began), default=0.0)


class FastCalls:
    """Calls until the callers are stopped.

    Attributes:
        count: how many were made.
        failures: those that failed.
    """

    def __init__(self, callers: Callers, deployment_ids: Sequence[str]) -> None:
        """Call the deployments in turn."""
        self.count = 0
        self.failures: list[Failure] = []
        self._callers = callers
        self._paths = [f"/node/deployment-trigger/{each}/" for each in deployment_ids]

    async def run(self) -> None:
        """Call, one call after the other."""
        while not self._callers.stopping.is_set():
            began = time.monotonic()
            path = self._paths[self.count % len(self._paths)]
            try:
                answer = await self._callers.http.post(path, json=_BODY)
                failure = "" if answer.is_success else _reason(answer)
            except httpx.TransportError as error:
                failure = f"{type(error).__name__}: {error}"
            self.count += 1
            if failure:
                self.failures.append(Failure(began=began, ended=time.monotonic(), reason=failure))
            await asyncio.sleep(_PAUSE_SECONDS)

    def mark(self) -> tuple[int, int]:
        """Return a moment for `since`."""
        return self.count, len(self.failures)

    def since(self, mark: tuple[int, int]) -> tuple[int, list[Failure]]:
        """Return how many calls have ended since then, and which failed."""
        return self.count - mark[0], self.failures[mark[1] :]


def _reason(answer: httpx.Response) -> str:
    try:
        problem = answer.json()
        return f"{answer.status_code} {problem['code']}: {problem['detail'][:100]}"
    except (ValueError, KeyError):
        return f"{answer.status_code} {answer.text[:100]}"
