"""Finds the gate of a call: one look-up, or none at all where nothing is limited."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.limits.call_limits import UNLIMITED, CallLimits, with_defaults
from gateway.limits.concurrency_limit import ConcurrencyLimit
from gateway.limits.counter_store import CounterStore
from gateway.limits.policy import DAY, MINUTE, Policy
from gateway.limits.quota import Quota
from gateway.limits.rate_limit import RateLimit
from gateway.limits.slots import Slots
from telemetry.instruments import Counter, MetricFamily

_MOST_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class _Entry:
    """A gate, and the limits that it was built of."""

    rate_limit: RateLimit | None
    caps: tuple[ConcurrencyLimit, ...]
    key_limits: CallLimits | None
    deployment_limits: CallLimits | None


_Subjects = list[tuple[str, str, CallLimits]]
"""Kind, id, and what is in force for it."""


class RateLimiter:
    """The gates of one process: of calls, of `/v2`, and of polls."""

    def __init__(
        self,
        ledger: CounterStore,
        refusals: MetricFamily[Counter],
        *,
        key_defaults: CallLimits = UNLIMITED,
        deployment_defaults: CallLimits = UNLIMITED,
    ) -> None:
        self._ledger = ledger
        self._refusals = refusals
        self._key_defaults = key_defaults
        self._deployment_defaults = deployment_defaults
        self.epoch = 0
        """Rises when counts were forgotten: a gate that was found before counts no more."""
        self._entries: dict[tuple[str, str, str], _Entry] = {}
        ledger.on_forgotten = self._forget

    def for_call(
        self,
        key_id: str,
        key_limits: CallLimits | None,
        deployment_id: str,
        deployment_limits: CallLimits | None,
    ) -> RateLimit | None:
        """Return the gate of a deployment's fast calls; None: nothing limits them.

        It counts, too, how many are going on.
        """
        return self._entry("fast", key_id, key_limits, deployment_id, deployment_limits).rate_limit

    def for_run(
        self,
        key_id: str,
        key_limits: CallLimits | None,
        deployment_id: str,
        deployment_limits: CallLimits | None,
    ) -> tuple[RateLimit | None, tuple[ConcurrencyLimit, ...]]:
        """Return the gate of a deployment's other calls, and how many runs may go on at once."""
        entry = self._entry("run", key_id, key_limits, deployment_id, deployment_limits)
        return entry.rate_limit, entry.caps

    def for_model_call(self, key_id: str, key_limits: CallLimits | None) -> RateLimit | None:
        """Return the gate of calls of models by their name."""
        return self._entry("fast", key_id, key_limits, "", None).rate_limit

    def for_poll(self, key_id: str, key_limits: CallLimits | None) -> RateLimit | None:
        """Return the gate of a key's looks at runs."""
        return self._entry("poll", key_id, key_limits, "", None).rate_limit

    def for_deployment_poll(self, deployment_id: str, limits: CallLimits) -> RateLimit | None:
        """Return the gate of all looks at a deployment's runs."""
        return self._entry("poll", "", None, deployment_id, limits).rate_limit

    def _entry(
        self,
        what: str,
        key_id: str,
        key_limits: CallLimits | None,
        deployment_id: str,
        deployment_limits: CallLimits | None,
    ) -> _Entry:
        place = what, key_id, deployment_id
        found = self._entries.get(place)
        if (
            found is not None
            and found.key_limits is key_limits
            and found.deployment_limits is deployment_limits
        ):
            return found
        if len(self._entries) >= _MOST_KEPT:
            self._entries.clear()
        subjects: _Subjects = []
        if key_id:
            subjects.append(("key", key_id, with_defaults(key_limits, self._key_defaults)))
        if deployment_id:
            limits = with_defaults(deployment_limits, self._deployment_defaults)
            subjects.append(("deployment", deployment_id, limits))
        rate_limit, caps = self._polls(subjects) if what == "poll" else self._calls(what, subjects)
        built = _Entry(rate_limit, caps, key_limits, deployment_limits)
        self._entries[place] = built
        return built

    def _calls(
        self, what: str, subjects: _Subjects
    ) -> tuple[RateLimit | None, tuple[ConcurrencyLimit, ...]]:
        quotas: list[Quota] = []
        slots: list[Slots] = []
        caps: list[ConcurrencyLimit] = []
        for kind, subject, limits in subjects:
            for period, quota, window in (
                ("minute", limits.calls_per_minute, MINUTE),
                ("day", limits.calls_per_day, DAY),
            ):
                if quota:
                    policy = Policy(name=f"{kind}-{period}", quota=quota, window=window)
                    quotas.append(self._ledger.quota(policy, subject))
            if limits.concurrent_runs:
                policy = Policy(name=f"{kind}-runs", quota=limits.concurrent_runs)
                if what == "fast":
                    slots.append(self._ledger.slots(policy, subject))
                else:
                    caps.append(ConcurrencyLimit(policy=policy, kind=kind, id=subject))
        return self._built(quotas, slots, tuple(caps)), tuple(caps)

    def _polls(self, subjects: _Subjects) -> tuple[RateLimit | None, tuple[ConcurrencyLimit, ...]]:
        quotas = []
        for kind, subject, limits in subjects:
            if limits.polls_per_minute:
                quota = limits.polls_per_minute
                policy = Policy(name=f"{kind}-polls", quota=quota, window=MINUTE)
                quotas.append(self._ledger.quota(policy, subject))
        return self._built(quotas, [], ()), ()

    def _built(
        self, quotas: list[Quota], slots: list[Slots], caps: tuple[ConcurrencyLimit, ...]
    ) -> RateLimit | None:
        if not (quotas or slots or caps):
            return None
        return RateLimit(quotas, slots, [cap.policy for cap in caps], self._refusals)

    def _forget(self) -> None:
        self.epoch += 1
        self._entries.clear()
