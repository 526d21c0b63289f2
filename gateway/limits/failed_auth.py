"""Failed authentication, by the address that it comes from."""

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
_FAILED = frozenset(
    {
        ErrorCode.API_KEY_INVALID,
        ErrorCode.API_KEY_DEACTIVATED,
        ErrorCode.API_KEY_EXPIRED,
        ErrorCode.SESSION_INVALID,
        ErrorCode.LOGIN_FAILED,
    }
)
"""Not that there is no key: who sends none does not guess one."""

T = TypeVar("T")


class FailedAuthLimit:
    """Counts failures. Who has a good key is let in, whatever else came from the same address."""

    def __init__(
        self, ledger: CounterStore, refusals: MetricFamily[Counter], *, per_minute: int | None
    ) -> None:
        """Bear `per_minute` failures of an address; None: any number."""
        self._ledger = ledger
        self._refusals = refusals
        self._policy = None
        if per_minute:
            self._policy = Policy(name=POLICY, quota=per_minute, window=MINUTE)

    async def guard(self, address: str, attempt: Awaitable[T]) -> T:
        """Return what `attempt` to authenticate does.

        Raises:
            GatewayError: as `attempt`; TOO_MANY_FAILURES in its place where the address has had
                its share of failures.
        """
        try:
            return await attempt
        except GatewayError as error:
            if self._policy is None or error.code not in _FAILED:
                raise
            refusal = await self._counted(self._policy, client_subnet(address))
            raise refusal or error from None

    async def _counted(self, policy: Policy, subject: str) -> GatewayError | None:
        rate_limit = RateLimit([self._ledger.quota(policy, subject)], (), (), self._refusals)
        try:
            await rate_limit.acquire()
        except GatewayError as refusal:
            message = (
                f"more than {policy.quota} calls a minute from this address had no good API key; "
                f"come again in {refusal.retry_after:.0f} s, or with a good one at once"
            )
            return GatewayError(
                ErrorCode.TOO_MANY_FAILURES,
                message,
                retry_after=refusal.retry_after,
                details=refusal.details,
            )
        return None
