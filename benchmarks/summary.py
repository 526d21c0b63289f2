"""Medians over the rounds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.measure import CONNECTIONS, Sample, Visit


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One server at one concurrency."""

    good_per_second: float
    slowest_round: float
    """Requests per second of the slowest round, and of the fastest."""
    fastest_round: float
    p50_us: float
    p99_us: float
    cpu_us: float
    latency: tuple[tuple[float, float], ...]
    """(percentile, microseconds), each the median over the rounds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One server. `levels` has every concurrency, or the server is not in the results."""

    server: str
    levels: Mapping[int, Level]
    boot_seconds: float
    pss_bytes: float
    processes: int
    requests: int
    errors: int
    other_cores: float
    """Cores that other processes took during the most disturbed load."""
    remarks: tuple[str, ...]


def summarize(servers: Iterable[str], visits: Sequence[Visit]) -> list[Row]:
    """Return a row for each server that was measured at least once, in the order given."""
    rows = [_row([visit for visit in visits if visit.server == name]) for name in servers]
    return [row for row in rows if row]


def failures(servers: Iterable[str], visits: Sequence[Visit]) -> dict[str, str]:
    """Return why servers could not be measured at all, by name."""
    measured = {row.server for row in summarize(servers, visits)}
    return {
        visit.server: visit.failure
        for visit in visits
        if visit.failure and visit.server not in measured
    }


def _row(visits: list[Visit]) -> Row | None:
    whole = [visit for visit in visits if len(visit.samples) == len(CONNECTIONS)]
    if not whole:
        return None
    samples = [sample for visit in whole for sample in visit.samples]
    return Row(
        server=whole[0].server,
        levels={n: _level([s for s in samples if s.connections == n]) for n in CONNECTIONS},
        boot_seconds=median(visit.boot_seconds for visit in whole),
        pss_bytes=median(visit.pss_bytes for visit in whole),
        processes=max(visit.processes for visit in whole),
        requests=sum(sample.load.requests for sample in samples),
        errors=sum(sample.errors for sample in samples),
        other_cores=max(sample.other_cores for sample in samples),
        remarks=tuple(_remarks(visits, samples)),
    )


def _level(samples: list[Sample]) -> Level:
    def middle(value: Callable[[Sample], float]) -> float:
        return median(value(sample) for sample in samples)

    rates = [sample.load.good_per_second for sample in samples]
    percentiles = [percentile for percentile, _ in samples[0].load.latency]
    return Level(
        good_per_second=median(rates),
        slowest_round=min(rates),
        fastest_round=max(rates),
        p50_us=middle(lambda sample: sample.load.at(50)),
        p99_us=middle(lambda sample: sample.load.at(99)),
        cpu_us=middle(lambda sample: sample.cpu_us),
        latency=tuple((p, median(s.load.at(p) for s in samples)) for p in percentiles),
    )


def _remarks(visits: list[Visit], samples: list[Sample]) -> Iterable[str]:
    for visit in visits:
        if visit.failure:
            yield f"round {visit.round}: {visit.failure}"
    if not all(sample.right_size for sample in samples):
        yield "under load some answers had another size than the one that was checked"
