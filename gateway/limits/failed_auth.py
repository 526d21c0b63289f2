"""Failed authentication, limited by client address."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from gateway.errors import GatewayError
from gateway.limits.client_subnet import client_subnet
from gateway.limits.counter_store import CounterStore
from gateway.limits.policy import MINUTE, Policy
from gateway.limits.rate_limit import RateLimit
from protos.errors import ErrorCode
from telemetry.instruments import Counter, MetricFamily

POLICY = "failed-auth"
_COUNTED = frozenset(
    {
        ErrorCode.API_KEY_MISSING,
        ErrorCode.API_KEY_INVALID,
        ErrorCode.API_KEY_DEACTIVATED,
        ErrorCode.API_KEY_EXPIRED,
        ErrorCode.SESSION_INVALID,
        ErrorCode.LOGIN_FAILED,
    }
)

T = TypeVar("T")


class FailedAuthLimit:
    """Counts failures by address. Valid credentials always pass."""

    def __init__(
        self,
        counters: CounterStore,
        rejections: MetricFamily[Counter],
        *,
        per_minute: int | None,
    ) -> None:
        """Allow `per_minute` failures per address; None is unlimited."""
        self._counters = counters
        self._rejections = rejections
        self._policy = None
        if per_minute:
            self._policy = Policy(name=POLICY, quota=per_minute, window=MINUTE)

    async def guard(self, address: str, attempt: Awaitable[T]) -> T:
        """Return the result of `attempt` to authenticate.

        Raises:
            GatewayError: as `attempt`; TOO_MANY_FAILURES instead once the address is over quota.
        """
        try:
            return await attempt
        except GatewayError as error:
            if self._policy is None or error.code not in _COUNTED:
                raise
            rejection = await self._count(self._policy, client_subnet(address))
            raise rejection or error from None

    async def _count(self, policy: Policy, subject: str) -> GatewayError | None:
        rate_limit = RateLimit([self._counters.quota(policy, subject)], (), (), self._rejections)
        try:
            await rate_limit.acquire()
        except GatewayError as rejection:
            message = (
                f"more than {policy.quota} requests per minute from this address had invalid "
                f"credentials; retry in {rejection.retry_after:.0f} s, or at once with valid ones"
            )
            return GatewayError(
                ErrorCode.TOO_MANY_FAILURES,
                message,
                retry_after=rejection.retry_after,
                details=rejection.details,
            )
        return None
