"""What the runs did outside: how often, and when."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from tests.chaos.audit import Row
from tests.chaos.call_log import Call
from tests.services.counter import CountingServer

_LATE_SECONDS = 1.0
"""After the end of its run: a request takes a moment."""


class OutgoingCalls(CountingServer):
    """Counts requests of nodes by their path, and notes the last of each."""

    def __init__(self, address: str) -> None:
        self._last: dict[str, float] = {}
        super().__init__(address)

    def count(self, path: str) -> None:
        """See CountingServer."""
        super().count(path)
        self._last[path] = time.time()

    def last(self, path: str) -> float:
        """Return when `path` was called last, in seconds since the epoch."""
        return self._last[path]


def executed_wrongly(
    calls: Sequence[Call],
    rows: Mapping[str, Row],
    ended_at: Mapping[str, float],
    outgoing: OutgoingCalls,
) -> list[str]:
    """Return what runs did too often, too late or not at all.

    Each posts the key of its call once in each attempt.

    Args:
        calls: whose runs are looked at.
        rows: of the runs, by id.
        ended_at: when they ended, in seconds since the epoch, by id.
        outgoing: what came of them.
    """
    broken = []
    for call in calls:
        runs = {run_id: rows[run_id] for run_id in call.run_ids if run_id in rows}
        path, attempts = f"/{call.key}", sum(row.attempt for row in runs.values())
        count = outgoing.of(path)
        if not runs:
            continue  # no answer said which run it was
        text = f"{call.pair}: run {', '.join(runs)}"
        if not count and any(row.status == "completed" for row in runs.values()):
            broken.append(f"{text} is completed, and called nothing")
        if count > attempts:
            broken.append(f"{text} called {count} times in {attempts} attempts")
        if count and all(run_id in ended_at for run_id in runs):
            late = outgoing.last(path) - max(ended_at[run_id] for run_id in runs)
            if late > _LATE_SECONDS:
                broken.append(f"{text} called {late:.1f} s after its end")
    return broken
