"""Calls and their responses, to compare with the rows of the database."""

from __future__ import annotations

import math
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
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
    until: float = math.inf
    """When callers stopped calling all the time."""
    _first_at: dict[str, float] = field(default_factory=dict)
    _succeeded_at: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def open(self, pair: str, deployment: str, key: str, body: Json) -> Call:
        """Record a new call."""
        call = Call(pair=pair, deployment=deployment, key=key, body=body)
        self.calls.append(call)
        return call

    def answered(self, pair: str, answer: str) -> None:
        """Count a response."""
        self.answers[pair, answer] += 1
        now = time.monotonic()
        self._first_at.setdefault(pair, now)
        if answer.startswith("2") or answer == "polled: completed":
            self._succeeded_at[pair].append(now)

    def returned_run_ids(self) -> set[str]:
        """Return the id of every run that a caller received."""
        return {run_id for call in self.calls for run_id in call.run_ids} | self.fast_run_ids

    def longest_gaps(self, others: Iterable[tuple[str, float]]) -> dict[str, Gap]:
        """Return, by pair, the longest time without a success while calls were made.

        `others` are ends of runs of other callers, as pair and time: what worked on them was not
        stuck.
        """
        ends = {pair: [first, *self._succeeded_at[pair]] for pair, first in self._first_at.items()}
        for pair, ended_at in others:
            if ended_at > ends[pair][0]:
                ends[pair].append(ended_at)
        longest = {}
        for pair, times in ends.items():
            known = [*sorted(each for each in times if each < self.until), self.until]
            gaps = (self._gap(since, until) for since, until in pairwise(known))
            longest[pair] = max(gaps, key=lambda gap: gap.seconds)
        return longest

    def _gap(self, since: float, until: float) -> Gap:
        away = self.outages.seconds_between(since, until)
        return Gap(seconds=until - since - away, since=since - self.began, outage_seconds=away)
