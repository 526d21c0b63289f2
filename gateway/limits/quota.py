"""The port of a quota: what a gate asks, and what takes the place of a count."""

from __future__ import annotations

from typing import Protocol

from gateway.limits.policy import Policy

ASK = -1.0
"""In the place of seconds to wait: not known here, `ask` does know."""


class Quota(Protocol):
    """How much of a policy one subject has left. For one event loop; times are `monotonic()`.

    `wait` and `take` are on the way of each call: they neither block nor await.
    """

    policy: Policy

    def wait(self, cost: int, now: float) -> float:
        """Return the seconds until `cost` units can be had: 0.0 at once; or ASK."""

    def take(self, cost: int, now: float) -> None:
        """Use `cost` units, after `wait` has said 0.0."""

    def left(self, now: float) -> tuple[int, int]:
        """Return the units that are left, and the seconds until there are more."""

    async def ask(self, cost: int) -> None:
        """Find out what `wait` does not know; never raises."""

    def idle(self, now: float) -> bool:
        """Whether nothing is lost when it is forgotten."""
