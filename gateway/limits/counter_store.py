"""Every count of a process, by policy and subject: here, or in Redis with all others."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from gateway.limits.policy import Policy
from gateway.limits.quota import Quota
from gateway.limits.quota_lease import QuotaLease, RedisQuotaStore
from gateway.limits.slots import Slots
from gateway.limits.window import Window

_MOST_KEPT = 50_000
"""Counts; past it those are forgotten that nobody uses, and at worst the oldest."""


class CounterStore:
    """Finds counts, or begins them.

    Without a `store` each process counts for itself: of a quota it has one share in `processes`,
    so that all together let no more through than one would.
    """

    def __init__(
        self, store: RedisQuotaStore | None, *, processes: int, most: int = _MOST_KEPT
    ) -> None:
        self.on_forgotten: Callable[[], None] = lambda: None
        """Called when counts were forgotten: who keeps some has to ask for them again."""
        self._store = store
        self._processes = processes
        self._most = most
        self._quotas: dict[tuple[str, str], Window | QuotaLease] = {}
        self._slots: dict[tuple[str, str], Slots] = {}

    def quota(self, policy: Policy, subject: str) -> Quota:
        """Return the count of what `subject` uses of `policy`; another quota changes it."""
        place = policy.name, subject
        found = self._quotas.get(place)
        if found is None:
            found = self._begin(policy, subject)
            if len(self._quotas) >= self._most:
                self._forget()
            self._quotas[place] = found
        elif found.policy.quota != policy.quota:
            found.change(policy, share=self._share(policy))
        return found

    def slots(self, policy: Policy, subject: str) -> Slots:
        """Return how many calls of `subject` are going on here."""
        place, share = (policy.name, subject), self._share(policy)
        found = self._slots.get(place)
        if found is None:
            if len(self._slots) >= self._most:
                self._slots = {at: slots for at, slots in self._slots.items() if slots.busy}
                self.on_forgotten()
            found = self._slots[place] = Slots(policy, share=share)
        found.change(policy, share=share)
        return found

    def _begin(self, policy: Policy, subject: str) -> Window | QuotaLease:
        alone = Window(policy, share=self._share(policy))
        return alone if self._store is None else QuotaLease(policy, subject, self._store, alone)

    def _share(self, policy: Policy) -> int:
        return math.ceil(policy.quota / self._processes)

    def _forget(self) -> None:
        now = time.monotonic()
        for place in [place for place, quota in self._quotas.items() if quota.idle(now)]:
            del self._quotas[place]
        for place in list(self._quotas)[: max(0, len(self._quotas) - self._most // 2)]:
            del self._quotas[place]
        self.on_forgotten()
