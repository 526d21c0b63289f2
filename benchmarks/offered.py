"""Calls offered to a server by a process of their own, by the clock or in a closed loop."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from benchmarks.load import GeneratorError
from benchmarks.openloop import Plan
from benchmarks.processes import ROOT

MOST_CONNECTIONS = 4_000
ABLE_LATE_SECONDS = 0.05
"""A generator whose 99th percentile is later than that cannot offer the rate."""
ABLE_SHARE = 0.98
"""Nor can one that offers less than this part of it."""
BUSY_CORES = 0.9
"""A closed loop whose generator used more is as fast as the generator, not as the server."""

_SPARE = 1.25
_FEW_CONNECTIONS = 64
_ACCEPTED = ("good", "late")
_REFUSED = ("refused", "refused_bare")


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One window of time, or all of them. Times in microseconds by percentile."""

    name: str
    offered: int
    counts: Mapping[str, int]
    """good: 200 in time; late: 200 after the deadline; refused, refused_bare: 429 with and without
    Retry-After; timed_out: 504; other: another status; broken: no answer; unsent: no connection."""
    latency: Mapping[float, float]
    """Of the calls answered with 200."""
    lateness: Mapping[float, float]
    """Of the generator."""

    def count(self, *kinds: str) -> int:
        """Return how many calls ended in one of these ways."""
        return sum(self.counts.get(kind, 0) for kind in kinds)

    @property
    def refused(self) -> int:
        """Return how many calls were answered with 429."""
        return self.count(*_REFUSED)

    @property
    def failed(self) -> int:
        """Return how many calls were neither answered with 200 nor refused with 429."""
        return sum(self.counts.values()) - self.count(*_ACCEPTED, *_REFUSED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """What became of all the calls."""

    rate: float | None
    """Calls a second that were to be offered; None in a closed loop."""
    seconds: float
    """Measured, without the ramp."""
    windows: Sequence[Window]
    rest: Window
    """What was answered after the end."""
    whole: Window
    """Windows and rest together."""
    generator_cores: float

    @property
    def good_per_second(self) -> float:
        """Return the goodput: answers with 200 in time, per second."""
        return sum(window.count("good") for window in self.windows) / self.seconds

    @property
    def able(self) -> bool:
        """Return whether the generator could do what it was asked for."""
        if self.rate is None:
            return self.generator_cores < BUSY_CORES
        punctual = self.whole.lateness.get(99, 0.0) <= ABLE_LATE_SECONDS * 1e6
        enough = self.whole.offered >= ABLE_SHARE * self.rate * self.seconds
        return punctual and enough

    def document(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        return asdict(self) | {"good_per_second": self.good_per_second, "able": self.able}


def offer(
    requests: Sequence[bytes],
    port: int,
    *,
    seconds: float,
    deadline: float,
    rate: float | None = None,
    connections: int | None = None,
    ramp: float = 2.0,
    window: float = 1.0,
    ended: Callable[[Window], None] = lambda _: None,
) -> Offered:
    """Offer the requests in turn and return what became of them; `ended` hears of each window.

    Without a rate, that many connections each ask again as soon as they have their answer. With
    one, they default to as many as can be in use before the deadline.

    Raises:
        GeneratorError: the generator broke.
    """
    plan = Plan(
        port=port,
        requests=[request.decode("latin-1") for request in requests],
        rate=rate,
        connections=connections or _enough(rate or 1.0, deadline),
        ramp=ramp,
        windows=max(1, round(seconds / window)),
        window=window,
        deadline=deadline,
    )
    told = _run(plan, ended)
    *windows, rest, whole = (_window(line) for line in told[:-1])
    return Offered(
        rate=rate,
        seconds=plan.windows * window,
        windows=windows[1:],
        rest=rest,
        whole=whole,
        generator_cores=told[-1]["cores"],
    )


def _enough(rate: float, deadline: float) -> int:
    return min(MOST_CONNECTIONS, math.ceil(rate * deadline * _SPARE) + _FEW_CONNECTIONS)


def _run(plan: Plan, ended: Callable[[Window], None]) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "benchmarks.openloop"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(orjson.dumps(asdict(plan)))
        process.stdin.close()
        told = []
        try:
            for line in process.stdout:
                told.append(orjson.loads(line))
                if told[-1]["name"].isdecimal():
                    ended(_window(told[-1]))
        except BaseException:
            process.kill()
            raise
    if process.returncode or len(told) != plan.windows + 4:
        raise GeneratorError(f"the generator ended with {process.returncode}")
    return told


def _window(line: dict[str, Any]) -> Window:
    times = {name: dict(map(tuple, line[name])) for name in ("latency", "lateness")}
    return Window(name=line["name"], offered=line["offered"], counts=line["counts"], **times)
