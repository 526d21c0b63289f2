"""What was seen of two versions: calls, failures, how long they took, and how outputs differ.

Times are counted in classes that are each 10 % wider than the one before, so that the counts of
several gateways can be added, and a quantile is known to 10 %.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from http import HTTPStatus
from math import ceil, log
from typing import Protocol

from pydantic import BaseModel, Field

from protos.errors import ErrorCode

_WIDTH = log(1.1)
_SHORTEST_SECONDS = 1e-6
_RECENT = 1_000
"""From twice as many calls of the candidate on, all counts are halved: what happened lately
decides. Those of both versions are of the same time, whatever else went wrong in it."""
_NOT_ITS_FAULT = frozenset(
    {
        ErrorCode.CANCELLED,
        ErrorCode.RATE_LIMITED,
        ErrorCode.TOO_MANY_RUNS,
        ErrorCode.STORAGE_QUOTA_EXCEEDED,
    }
)
"""Errors that say nothing about a version. A caller's mistakes count: both versions get them."""


class RolloutCall(Protocol):
    """A call that one of the versions has answered. Times are by `perf_counter()`."""

    status: int
    error: ErrorCode | None
    rollout_began: float
    """When the version was chosen."""
    ended: float


class Calls(BaseModel):
    """The calls that one version has answered."""

    answered: float = 0
    failed: float = 0
    classes: dict[int, float] = {}
    """How many calls without an error took up to 1.1 ** class seconds."""
    late: int = Field(default=0, exclude=True)
    """Calls of the process that reports which wait for longer than is allowed; not stored."""

    def count(self, calls: Iterable[RolloutCall]) -> tuple[int, int]:
        """Count answered calls; return how many of them were counted, without an error and with.

        One with a run that goes on is not: async runs are counted when they end.
        """
        ok = failed = 0
        for call in calls:
            if call.error in _NOT_ITS_FAULT or call.status == HTTPStatus.ACCEPTED:
                continue
            self.add(call.ended - call.rollout_began, failed=call.error is not None)
            ok += call.error is None
            failed += call.error is not None
        return ok, failed

    def add(self, seconds: float, *, failed: bool = False) -> None:
        """Count a call; how long a failed one took says nothing."""
        self.answered += 1
        if failed:
            self.failed += 1
        else:
            number = ceil(log(max(seconds, _SHORTEST_SECONDS)) / _WIDTH)
            self.classes[number] = self.classes.get(number, 0) + 1

    @property
    def says_something(self) -> bool:
        """Whether a call was answered, or is late."""
        return bool(self.answered or self.late)

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
        """Add the calls that another process has counted."""
        self.answered += other.answered
        self.failed += other.failed
        for number, calls in other.classes.items():
            self.classes[number] = self.classes.get(number, 0) + calls
        self.late = other.late

    def halve(self) -> None:
        """Make all counts half as large."""
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
    """A difference between two outputs, with the values: for the deployment's owner only."""
    slow_at: list[datetime] = []
    """When the candidate was slower than allowed, lately. Calls of one moment are not independent:
    whatever held up one held up all."""

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
        while self.candidate.answered > 2 * _RECENT:
            self.baseline.halve()
            self.candidate.halve()
            self.compared /= 2
            self.different /= 2
