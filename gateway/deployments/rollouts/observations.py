"""What was seen of two versions: calls, failures, how long they took, and how outputs differ.

Times are counted in classes that are each 10 % wider than the one before, so that the counts of
several gateways can be added, and a quantile is known to 10 %.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil, log

from pydantic import BaseModel

from gateway.metrics import CallRecord
from protos.errors import ErrorCode

_WIDTH = log(1.1)
_SHORTEST_SECONDS = 1e-6
_RECENT = 1_000
"""From twice as many calls on, all counts of a version are halved: what happened lately decides."""
_NOT_ITS_FAULT = frozenset({ErrorCode.RATE_LIMITED, ErrorCode.CANCELLED})
"""Errors that say nothing about a version. A caller's mistakes count: both versions get them."""


class Calls(BaseModel):
    """The calls that one version has answered."""

    answered: float = 0
    failed: float = 0
    classes: dict[int, float] = {}
    """How many calls without an error took up to 1.1 ** class seconds."""

    def count(self, calls: Iterable[CallRecord]) -> None:
        """Count answered calls."""
        for call in calls:
            if call.error not in _NOT_ITS_FAULT:
                self.add(call.ended - call.began, failed=call.error is not None)

    def add(self, seconds: float, *, failed: bool = False) -> None:
        """Count a call; how long a failed one took says nothing."""
        self.answered += 1
        if failed:
            self.failed += 1
        else:
            number = ceil(log(max(seconds, _SHORTEST_SECONDS)) / _WIDTH)
            self.classes[number] = self.classes.get(number, 0) + 1

    @property
    def timed(self) -> float:
        """The calls without an error, whose times are known."""
        return self.answered - self.failed

    def quantile(self, share: float) -> float:
        """Return the time in seconds that a share of the calls without an error took at most."""
        wanted = share * self.timed
        below = 0.0
        for number in sorted(self.classes):
            below += self.classes[number]
            if below >= wanted:
                return float(1.1**number)
        return 0.0

    def merge(self, other: Calls) -> None:
        """Add the calls that another process has counted, and forget some that are long past."""
        self.answered += other.answered
        self.failed += other.failed
        for number, calls in other.classes.items():
            self.classes[number] = self.classes.get(number, 0) + calls
        if self.answered > 2 * _RECENT:
            self.answered /= 2
            self.failed /= 2
            self.classes = {number: calls / 2 for number, calls in self.classes.items()}


class Observations(BaseModel):
    """What was seen of a rollout."""

    baseline: Calls = Calls()
    candidate: Calls = Calls()
    compared: float = 0
    """Calls that both versions have answered."""
    different: float = 0
    example: str | None = None
    """A difference between two outputs."""

    @property
    def empty(self) -> bool:
        """Whether nothing was seen."""
        return not (self.baseline.answered or self.candidate.answered or self.compared)

    def compare(self, difference: str | None) -> None:
        """Count two outputs; None: they are equal."""
        self.compared += 1
        if difference is not None:
            self.different += 1
            self.example = difference

    def merge(self, other: Observations) -> None:
        """Add what another process has seen."""
        self.baseline.merge(other.baseline)
        self.candidate.merge(other.candidate)
        self.compared += other.compared
        self.different += other.different
        self.example = other.example or self.example
        if self.compared > 2 * _RECENT:
            self.compared /= 2
            self.different /= 2
