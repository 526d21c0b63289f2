"""What became of the calls in one window of time, counted while it happens."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import orjson

from benchmarks.wire import Answer

PERCENTILES = (50, 90, 99, 99.9, 100)


@dataclass(slots=True)
class Tally:
    """Counts by kind (see `offered.Window`), and arrays of seconds."""

    offered: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    latency: array[float] = field(default_factory=lambda: array("d"))
    """Of the calls that were answered with 200."""
    lateness: array[float] = field(default_factory=lambda: array("d"))
    """By which the generator was late to notice that a call was due."""

    def offer(self, late: float) -> None:
        """Count a call that was due."""
        self.offered += 1
        self.lateness.append(late)

    def answer(self, answer: Answer, took: float, deadline: float) -> None:
        """Count an answer, after `took` of the seconds that its caller has."""
        if answer.status == 200:
            self.latency.append(took)
            self.counts["good" if took <= deadline else "late"] += 1
        elif answer.status == 429:
            self.counts["refused" if answer.has(b"retry-after") else "refused_bare"] += 1
        else:
            self.counts["timed_out" if answer.status == 504 else "other"] += 1

    def add(self, other: Tally) -> None:
        """Take in what another window has."""
        self.offered += other.offered
        self.counts += other.counts
        self.latency.extend(other.latency)
        self.lateness.extend(other.lateness)

    def line(self, name: str) -> str:
        """Return it as a line of JSON; times in microseconds."""
        told = {"name": name, "offered": self.offered, "counts": self.counts}
        times = {"latency": _percentiles(self.latency), "lateness": _percentiles(self.lateness)}
        return orjson.dumps(told | times).decode()


def _percentiles(seconds: array[float]) -> list[tuple[float, float]]:
    """Return (percentile, microseconds), rising; nothing for no times."""
    if not seconds:
        return []
    points = np.percentile(np.frombuffer(seconds), PERCENTILES) * 1e6
    return list(zip(PERCENTILES, map(float, points), strict=True))
