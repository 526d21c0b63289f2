"""Counts of calls and runs, and their form in a database row. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

from gateway.usage.histogram import DurationHistogram, count, merge

TOTAL = "total"
"""The time from the last header of a call to its response."""
QUEUE, BOOT, RUN = "queue", "boot", "run"
"""Stages of a run: from its creation to its start, the wait for an inference server to boot, and
from its start to its end.
"""
SHOWN_STAGES = ("auth", "parse", QUEUE, BOOT, "infer", "serialise", RUN)


@dataclass(slots=True)
class Counts:
    """Counts, and durations by stage. They can be added up."""

    calls: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    """Calls answered with an error, by code."""
    runs: int = 0
    run_errors: dict[str, int] = field(default_factory=dict)
    """Runs that ended without a result, by code."""
    seconds: dict[str, DurationHistogram] = field(default_factory=dict)
    """Durations by stage."""

    def took(self, stage: str, seconds: float) -> None:
        """Count a duration."""
        count(self.seconds.setdefault(stage, {}), seconds)

    def add(self, other: Counts) -> None:
        """Add the counts of `other`."""
        self.calls += other.calls
        self.runs += other.runs
        _add(self.errors, other.errors)
        _add(self.run_errors, other.run_errors)
        for stage, buckets in other.seconds.items():
            merge(self.seconds.setdefault(stage, {}), buckets)

    def pack(self) -> bytes:
        """Return all but `calls` and `runs` as JSON, about 0.6 KB per stage."""
        seconds = {
            stage: [word for pair in buckets.items() for word in pair]
            for stage, buckets in self.seconds.items()
            if buckets
        }
        return orjson.dumps([self.errors, self.run_errors, seconds])

    @classmethod
    def unpack(cls, calls: int, runs: int, packed: bytes) -> Counts:
        """Return the counts that `pack` has packed."""
        errors, run_errors, seconds = orjson.loads(packed)
        return cls(
            calls=calls,
            errors=errors,
            runs=runs,
            run_errors=run_errors,
            seconds={
                stage: dict(zip(flat[::2], flat[1::2], strict=True))
                for stage, flat in seconds.items()
            },
        )


def _add(into: dict[str, int], others: Mapping[str, int]) -> None:
    for code, number in others.items():
        into[code] = into.get(code, 0) + number
