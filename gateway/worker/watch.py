"""A lane's own look at itself: a heartbeat, and whether it still hears its broker."""

from __future__ import annotations

import threading
import time

from celery.worker import state

from gateway.broker.broker import Broker
from gateway.broker.probe import depths
from gateway.worker.lanes import Lane
from telemetry.logs import logger
from telemetry.parent_process import StatusPipe

_BEAT_SECONDS = 1.0
_LOOK_SECONDS = 5.0
_STRIKES = 3

log = logger("gateway.worker.watch")


class Watch:
    """Tells the foreman how busy the lane is; and `deaf` where runs wait and it takes none.

    Celery's consumers have been known to come back from a lost connection and take nothing more. A
    lane is deaf when, over three looks in a row, it had a free child and got nothing while the
    broker, asked over a new connection, said that something was waiting.
    """

    def __init__(self, lane: Lane, broker: Broker, report: StatusPipe) -> None:
        self._lane = lane
        self._broker = broker
        self._report = report
        self._total = 0
        self._strikes = 0

    def start(self) -> None:
        """Begin, on a thread of its own."""
        threading.Thread(target=self._run, name="watch", daemon=True).start()

    def _run(self) -> None:
        looked = time.monotonic()
        while self._strikes < _STRIKES:
            self._report.send("beat", busy=_busy(), total=_total())
            time.sleep(_BEAT_SECONDS)
            if time.monotonic() - looked >= _LOOK_SECONDS:
                looked = time.monotonic()
                self._look()
        log.error("worker_deaf", lane=self._lane.name, meaning="runs wait, and it takes none")
        self._report.send("deaf")
        while True:
            time.sleep(_BEAT_SECONDS)
            self._report.send("beat", busy=_busy(), total=_total())

    def _look(self) -> None:
        before, self._total = self._total, _total()
        idle = self._total == before and _busy() < self._lane.children
        self._strikes = self._strikes + 1 if idle and self._something_waits() else 0

    def _something_waits(self) -> bool:
        try:
            return any(depths(self._broker, self._lane.queues).values())
        except Exception:  # noqa: BLE001 - the broker is away: then nobody hears anything
            return False


def _busy() -> int:
    return len(state.reserved_requests)


def _total() -> int:
    return int(state.all_total_count[0])
