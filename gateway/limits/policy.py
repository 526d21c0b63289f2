"""Quotas as the wire has them: draft-ietf-httpapi-ratelimit-headers, and RFC 9457 problems."""

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
"""Of the time to wait, so that those who were refused together do not come again together."""
_PERIODS = {MINUTE: "a minute", DAY: "a day"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A quota: so much in a window, or so many at once."""

    name: str
    """Such as `key-minute`: what headers, problems and the metric call it."""
    quota: int
    window: int | None = None
    """Seconds; None: it limits how many are going on at once."""

    @property
    def item(self) -> str:
        """The policy as a member of `RateLimit-Policy`."""
        unit = ';qu="concurrent-requests"' if self.window is None else f";w={self.window}"
        return f'"{self.name}";q={self.quota}{unit}'


def policy_header(policies: Sequence[Policy]) -> bytes:
    """Return the value of `RateLimit-Policy`."""
    return ", ".join(policy.item for policy in policies).encode()


def quota_exceeded(violated: Sequence[Policy], wait: float) -> GatewayError:
    """Return the refusal of who has to wait for `wait` seconds before it is worth asking again."""
    names = [policy.name for policy in violated]
    worst = violated[0]
    seconds = max(1, math.ceil(wait * random.uniform(1, 1 + _JITTER)))  # noqa: S311 - no secret
    if worst.window is None:
        code = ErrorCode.TOO_MANY_RUNS
        message = f"{worst.name}: {worst.quota} are going on, and no more may at once; "
    else:
        code = ErrorCode.RATE_LIMITED
        per = _PERIODS.get(worst.window, f"{worst.window} s")
        message = f"{worst.name}: the quota of {worst.quota} {per} is used up; "
    return GatewayError(
        code,
        message + f"come again in {seconds} s",
        retry_after=seconds,
        details={"type": QUOTA_EXCEEDED, "title": "Quota exceeded", "violated-policies": names},
    )
