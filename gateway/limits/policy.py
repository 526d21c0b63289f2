"""Policies on the wire: draft-ietf-httpapi-ratelimit-headers, and problems of RFC 9457."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.errors import GatewayError
from protos.errors import ErrorCode

QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"
MINUTE, DAY = 60, 86_400
_JITTER = 0.1
"""Share of the wait that is added at random: clients rejected together do not retry together."""
_PERIODS = {MINUTE: "minute", DAY: "day"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A quota per window, or a maximum of concurrent calls."""

    name: str
    """As in headers, problems and the metric; such as `key-minute`."""
    quota: int
    window: int | None = None
    """Seconds; None limits how many are in progress at once."""

    @property
    def item(self) -> str:
        """The policy as a member of `RateLimit-Policy`."""
        unit = ';qu="concurrent-requests"' if self.window is None else f";w={self.window}"
        return f'"{self.name}";q={self.quota}{unit}'


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcurrencyLimit:
    """A maximum of runs in progress, which the run store enforces by counting rows."""

    policy: Policy
    kind: str
    """`key`, `deployment`, or `tests` of a user."""
    id: str


def policy_header(policies: Sequence[Policy]) -> bytes:
    """Return the value of `RateLimit-Policy`."""
    return ", ".join(policy.item for policy in policies).encode()


def quota_exceeded(violated: Sequence[Policy], wait: float) -> GatewayError:
    """Return the error of a call that exceeds these policies, and may be retried in `wait` s."""
    names = [policy.name for policy in violated]
    worst = violated[0]
    seconds = max(1, math.ceil(wait * random.uniform(1, 1 + _JITTER)))  # nosec B311 # no secret
    if worst.window is None:
        code = ErrorCode.TOO_MANY_RUNS
        message = f"{worst.name}: {worst.quota} are in progress, which is the maximum"
    else:
        code = ErrorCode.RATE_LIMITED
        period = _PERIODS.get(worst.window, f"{worst.window} s")
        message = f"{worst.name}: the quota of {worst.quota} per {period} is used up"
    return GatewayError(
        code,
        f"{message}; retry in {seconds} s",
        retry_after=seconds,
        details={"type": QUOTA_EXCEEDED, "title": "Quota exceeded", "violated-policies": names},
    )
