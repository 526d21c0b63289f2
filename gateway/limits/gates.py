"""Finds the gate of a call: one look-up, or none at all where nothing is limited."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.limits.call_limits import NOTHING, CallLimits, merged
from gateway.limits.cap import Cap
from gateway.limits.gate import Gate
from gateway.limits.ledger import Ledger
from gateway.limits.policy import DAY, MINUTE, Policy
from gateway.limits.quota import Quota
from gateway.limits.slots import Slots
from telemetry.instruments import Counter, MetricFamily

_MOST_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class _Entry:
    """A gate, and the limits that it was built of."""

    gate: Gate | None
    caps: tuple[Cap, ...]
    key_limits: CallLimits | None
    deployment_limits: CallLimits | None


_Subjects = list[tuple[str, str, CallLimits]]
"""Kind, id, and what is in force for it."""


class Gates:
    """The gates of one process: of calls, of `/v2`, and of polls."""

    def __init__(
        self,
        ledger: Ledger,
        refusals: MetricFamily[Counter],
        *,
        key_defaults: CallLimits = NOTHING,
        deployment_defaults: CallLimits = NOTHING,
    ) -> None:
        self._ledger = ledger
        self._refusals = refusals
        self._key_defaults = key_defaults
        self._deployment_defaults = deployment_defaults
        self.epoch = 0
        """Rises when counts were forgotten: a gate that was found before counts no more."""
        self._entries: dict[tuple[str, str, str], _Entry] = {}
        ledger.on_forgotten = self._forget

    def of_call(
        self,
        key_id: str,
        key_limits: CallLimits | None,
        deployment_id: str,
        deployment_limits: CallLimits | None,
    ) -> Gate | None:
        """Return the gate of a deployment's fast calls; None: nothing limits them.

        It counts, too, how many are going on.
        """
        return self._entry("fast", key_id, key_limits, deployment_id, deployment_limits).gate

    def of_run(
        self,
        key_id: str,
        key_limits: CallLimits | None,
        deployment_id: str,
        deployment_limits: CallLimits | None,
    ) -> tuple[Gate | None, tuple[Cap, ...]]:
        """Return the gate of a deployment's other calls, and how many runs may go on at once."""
        entry = self._entry("run", key_id, key_limits, deployment_id, deployment_limits)
        return entry.gate, entry.caps

    def of_model_call(self, key_id: str, key_limits: CallLimits | None) -> Gate | None:
        """Return the gate of calls of models by their name."""
        return self._entry("fast", key_id, key_limits, "", None).gate

    def of_poll(self, key_id: str, key_limits: CallLimits | None) -> Gate | None:
        """Return the gate of a key's looks at runs."""
        return self._entry("poll", key_id, key_limits, "", None).gate

    def of_deployment_poll(self, deployment_id: str, limits: CallLimits) -> Gate | None:
        """Return the gate of all looks at a deployment's runs."""
        return self._entry("poll", "", None, deployment_id, limits).gate

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
            subjects.append(("key", key_id, merged(key_limits, self._key_defaults)))
        if deployment_id:
            limits = merged(deployment_limits, self._deployment_defaults)
            subjects.append(("deployment", deployment_id, limits))
        gate, caps = self._polls(subjects) if what == "poll" else self._calls(what, subjects)
        built = _Entry(gate, caps, key_limits, deployment_limits)
        self._entries[place] = built
        return built

    def _calls(self, what: str, subjects: _Subjects) -> tuple[Gate | None, tuple[Cap, ...]]:
        quotas: list[Quota] = []
        slots: list[Slots] = []
        caps: list[Cap] = []
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
                    caps.append(Cap(policy=policy, kind=kind, id=subject))
        return self._built(quotas, slots, tuple(caps)), tuple(caps)

    def _polls(self, subjects: _Subjects) -> tuple[Gate | None, tuple[Cap, ...]]:
        quotas = []
        for kind, subject, limits in subjects:
            if limits.polls_per_minute:
                quota = limits.polls_per_minute
                policy = Policy(name=f"{kind}-polls", quota=quota, window=MINUTE)
                quotas.append(self._ledger.quota(policy, subject))
        return self._built(quotas, [], ()), ()

    def _built(self, quotas: list[Quota], slots: list[Slots], caps: tuple[Cap, ...]) -> Gate | None:
        if not (quotas or slots or caps):
            return None
        return Gate(quotas, slots, [cap.policy for cap in caps], self._refusals)

    def _forget(self) -> None:
        self.epoch += 1
        self._entries.clear()
