"""The bars that Slipstream is held to, as ratios within one run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.servers import ECHO_SERVER, PEERS, PYTRITON, SLIPSTREAM, TUNED
from benchmarks.summary import Row

FEW, SOME, MANY = 1, 16, 64

_ECHO_LATENCY = 3.0
_TUNED_EXTRA_US = 30.0
_ECHO_THROUGHPUT = 0.5
_TUNED_THROUGHPUT = 3.0
_TAIL = 3.0
_PEER_THROUGHPUT = 5.0
_PYTRITON_THROUGHPUT = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One demand and what was measured. The unit of both is that of `what`."""

    what: str
    limit: float
    measured: float
    at_least: bool
    """Whether `limit` is the least or the most that is allowed."""

    @property
    def held(self) -> bool:
        """Return whether the demand is met."""
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit

    @property
    def demand(self) -> str:
        """Return the limit as people write it."""
        return f"{'≥' if self.at_least else '≤'} {self.limit:g}"


def bars(rows: Sequence[Row]) -> list[Bar]:
    """Return each bar whose servers were measured; none without Slipstream."""
    by_name = {row.server: row for row in rows}
    if SLIPSTREAM not in by_name:
        return []
    return [*_against_baselines(by_name), *_against_peers(by_name)]


def _against_baselines(rows: Mapping[str, Row]) -> Iterator[Bar]:
    ours, echo, tuned = rows[SLIPSTREAM], rows.get(ECHO_SERVER), rows.get(TUNED)
    p50 = _p50(ours, FEW)
    if echo:
        what = f"p50 at {FEW} connection / {ECHO_SERVER}'s"
        yield most(what, _ECHO_LATENCY, p50 / _p50(echo, FEW))
    if tuned:
        what = f"p50 at {FEW} connection - {TUNED}'s, µs"
        yield most(what, _TUNED_EXTRA_US, p50 - _p50(tuned, FEW))
    if echo:
        what = f"req/s at {MANY} connections / {ECHO_SERVER}'s"
        yield least(what, _ECHO_THROUGHPUT, _faster(ours, echo, MANY))
    if tuned:
        what = f"req/s at {MANY} connections / {TUNED}'s"
        yield least(what, _TUNED_THROUGHPUT, _faster(ours, tuned, MANY))
    level = ours.levels[MANY]
    yield most(f"p99 / p50 at {MANY} connections", _TAIL, level.p99_us / level.p50_us)


def _against_peers(rows: Mapping[str, Row]) -> Iterator[Bar]:
    ours = rows[SLIPSTREAM]
    for name in PEERS:
        if name not in rows:
            continue
        peer = rows[name]
        limit = _PYTRITON_THROUGHPUT if name == PYTRITON else _PEER_THROUGHPUT
        for connections in (SOME, MANY):
            what = f"req/s at {connections} connections / {name}'s"
            yield least(what, limit, _faster(ours, peer, connections))
        ratio = _p50(ours, FEW) / _p50(peer, FEW)
        yield most(f"p50 at {FEW} connection / {name}'s", 1.0, ratio)


def _p50(row: Row, connections: int) -> float:
    return row.levels[connections].p50_us


def _faster(one: Row, other: Row, connections: int) -> float:
    rates = (row.levels[connections].good_per_second for row in (one, other))
    return next(rates) / max(next(rates), 1e-9)


def most(what: str, limit: float, measured: float) -> Bar:
    """Return a bar that `measured` may reach, and not pass."""
    return Bar(what=what, limit=limit, measured=measured, at_least=False)


def least(what: str, limit: float, measured: float) -> Bar:
    """Return a bar that `measured` must reach."""
    return Bar(what=what, limit=limit, measured=measured, at_least=True)
