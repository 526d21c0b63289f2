"""Calls and their responses, to compare with the rows of the database."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.outages import Outages

# Any is JSON here
Json = dict[str, Any]

TERMINAL = frozenset({"completed", "failed", "cancelled"})


@dataclass(slots=True, kw_only=True)
class Call:
    """One logical call, over any number of attempts."""

    pair: str
    deployment: str
    key: str
    """Its Idempotency-Key, the same for every attempt."""
    body: Json
    run_ids: list[str] = field(default_factory=list)
    """Every flow_run_id that was returned, in order."""
    dropped: int = 0
    """The number of attempts whose connection broke or failed."""
    final: Json | None = None
    """The terminal state that was returned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A time without a success."""

    seconds: float
    """Without the time in which a server of others was held away."""
    since: float
    """Seconds since the beginning of the calls."""
    outage_seconds: float
    """How long a server of others was held away meanwhile."""


@dataclass(slots=True)
class CallLog:
    """All calls, with counts of their responses."""

    outages: Outages
    calls: list[Call] = field(default_factory=list)
    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By pair and response: status and code, or the connection error."""
    not_json: list[str] = field(default_factory=list)
    """Responses that were not JSON, or errors without a message."""
    fast_run_ids: set[str] = field(default_factory=set)
    """Every flow_run_id that a fast call returned."""
    lost: list[str] = field(default_factory=list)
    """Runs that were accepted but not found later."""
    began: float = field(default_factory=time.monotonic)
    longest_gaps: dict[str, Gap] = field(default_factory=dict)
    """By pair: the longest time without a success while calls were made."""
    calling: bool = True
    """Whether calls are made all the time: gaps mean something."""
    _succeeded_at: dict[str, float] = field(default_factory=dict)

    def open(self, pair: str, deployment: str, key: str, body: Json) -> Call:
        """Record a new call."""
        call = Call(pair=pair, deployment=deployment, key=key, body=body)
        self.calls.append(call)
        return call

    def answered(self, pair: str, answer: str) -> None:
        """Count a response."""
        self.answers[pair, answer] += 1
        if self.calling:
            self._note_gap(pair)
        if answer.startswith("2") or answer == "polled: completed":
            self._succeeded_at[pair] = time.monotonic()

    def returned_run_ids(self) -> set[str]:
        """Return the id of every run that a caller received."""
        return {run_id for call in self.calls for run_id in call.run_ids} | self.fast_run_ids

    def _note_gap(self, pair: str) -> None:
        now = time.monotonic()
        succeeded_at = self._succeeded_at.setdefault(pair, now)
        away = self.outages.seconds_between(succeeded_at, now)
        gap = Gap(
            seconds=now - succeeded_at - away,
            since=succeeded_at - self.began,
            outage_seconds=away,
        )
        longest = self.longest_gaps.get(pair)
        if longest is None or gap.seconds > longest.seconds:
            self.longest_gaps[pair] = gap
