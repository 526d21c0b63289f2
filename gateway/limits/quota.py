"""The port of a quota: what a gate asks, and what takes the place of a count."""

from __future__ import annotations

from typing import Protocol

from gateway.limits.policy import Policy

ASK = -1.0
"""In the place of seconds to wait: not known here, `ask` does know."""


class Quota(Protocol):
    """How much of a policy one subject has left. For one event loop; times are `monotonic()`.

    Most calls find enough `room`, and take from it what they cost: two comparisons and a
    subtraction. Only others look, by `wait`; neither blocks or awaits.
    """

    policy: Policy
    room: int
    """Units that are there for whoever takes them, before `until`."""
    until: float
    """From then on, `wait` has to look again."""
    beyond: int
    """Units that are left besides those, as of the last look."""
    renews: float
    """When there will be more, as of the last look."""

    def wait(self, cost: int, now: float) -> float:
        """Look: return the seconds until `cost` units can be had: 0.0 at once; or ASK."""

    def take(self, cost: int, now: float) -> None:
        """Use `cost` units, after `wait` has said 0.0."""

    async def ask(self, cost: int) -> None:
        """Find out what `wait` does not know; never raises."""

    def idle(self, now: float) -> bool:
        """Whether nothing is lost when it is forgotten."""
