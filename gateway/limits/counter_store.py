"""Every counter of a process, by policy and subject."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from gateway.limits.gcra import ConcurrencyCounter, Gcra, Quota
from gateway.limits.policy import Policy
from gateway.limits.quota_lease import QuotaLease, RedisQuotaStore

_MAX_COUNTERS = 50_000
"""Beyond it, idle counters are dropped first, then the oldest."""


class CounterStore:
    """Finds or creates counters.

    Without a `store` each process counts on its own and gets one share in `processes` of a quota,
    so that all together let no more through than one would.
    """

    def __init__(
        self,
        store: RedisQuotaStore | None,
        *,
        processes: int,
        max_counters: int = _MAX_COUNTERS,
    ) -> None:
        self.on_dropped: Callable[[], None] = lambda: None
        """Called after counters were dropped: references to them are stale."""
        self._store = store
        self._processes = processes
        self._max_counters = max_counters
        self._quotas: dict[tuple[str, str], Gcra | QuotaLease] = {}
        self._concurrency: dict[tuple[str, str], ConcurrencyCounter] = {}

    def quota(self, policy: Policy, subject: str) -> Quota:
        """Return the counter of a policy for `subject`; a changed quota takes effect."""
        key = policy.name, subject
        counter = self._quotas.get(key)
        if counter is None:
            counter = self._create(policy, subject)
            if len(self._quotas) >= self._max_counters:
                self._drop_quotas()
            self._quotas[key] = counter
        elif counter.policy.quota != policy.quota:
            counter.change(policy, share=self._share(policy))
        return counter

    def concurrency(self, policy: Policy, subject: str) -> ConcurrencyCounter:
        """Return the counter of the calls of `subject` in progress in this process."""
        key, share = (policy.name, subject), self._share(policy)
        counter = self._concurrency.get(key)
        if counter is None:
            if len(self._concurrency) >= self._max_counters:
                self._concurrency = {
                    at: each for at, each in self._concurrency.items() if not each.is_idle()
                }
                self.on_dropped()
            counter = self._concurrency[key] = ConcurrencyCounter(policy, share=share)
        counter.change(policy, share=share)
        return counter

    def _create(self, policy: Policy, subject: str) -> Gcra | QuotaLease:
        local = Gcra(policy, share=self._share(policy))
        return local if self._store is None else QuotaLease(policy, subject, self._store, local)

    def _share(self, policy: Policy) -> int:
        return math.ceil(policy.quota / self._processes)

    def _drop_quotas(self) -> None:
        now = time.monotonic()
        for key in [key for key, counter in self._quotas.items() if counter.is_idle(now)]:
            del self._quotas[key]
        for key in list(self._quotas)[: max(0, len(self._quotas) - self._max_counters // 2)]:
            del self._quotas[key]
        self.on_dropped()
