"""How deliveries are sent, in numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from gateway.settings import Settings

_LEASE_BEYOND_SECONDS = 15.0
"""For the claim before, and for writing it down afterwards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatcherOptions:
    """All of a dispatcher's numbers; seconds where not said otherwise."""

    schedule: Sequence[float]
    """The pause before each attempt, the first one included: as many as there are attempts."""
    timeout_seconds: float = 15.0
    """For one attempt, from the name's look-up to the answer's end."""
    lease_seconds: float = 30.0
    """After that, what a dead process was sending is sent again. Longer than an attempt takes."""
    endpoint_concurrency: int = 16
    """Deliveries to one endpoint that a process has in flight."""
    concurrency: int = 200
    """Deliveries that a process has in flight."""
    poll_seconds: float = 0.5
    """Between two looks for what other processes have written."""
    disable_seconds: float = 5 * 86_400.0
    """Of nothing but failures, after which an endpoint is disabled."""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return what the settings say."""
        timeout = settings.webhook_timeout_seconds
        return cls(
            schedule=settings.webhook_schedule_seconds,
            timeout_seconds=timeout,
            lease_seconds=timeout + _LEASE_BEYOND_SECONDS,
        )
