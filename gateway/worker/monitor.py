"""A lane's own look at itself: a heartbeat, and whether it still hears its broker."""

from __future__ import annotations

import threading
import time

from celery.worker import state

from gateway.broker.broker import Broker
from gateway.broker.probe import queue_depths
from gateway.worker.plan import QueueWorkerPlan
from telemetry.logs import logger
from telemetry.parent_process import StatusPipe

_HEARTBEAT_SECONDS = 1.0
_CHECK_SECONDS = 5.0
_MAX_STALLED_CHECKS = 3

log = logger("gateway.worker.monitor")


class QueueMonitor:
    """Tells the foreman how busy the lane is; and `deaf` where runs wait and it takes none.

    Celery's consumers have been known to come back from a lost connection and take nothing more. A
    lane is deaf when, over three looks in a row, it had a free child and got nothing while the
    broker, asked over a new connection, said that something was waiting.
    """

    def __init__(self, plan: QueueWorkerPlan, broker: Broker, report: StatusPipe) -> None:
        self._plan = plan
        self._broker = broker
        self._report = report
        self._total = 0
        self._strikes = 0

    def start(self) -> None:
        """Begin, on a thread of its own."""
        threading.Thread(target=self._run, name="watch", daemon=True).start()

    def _run(self) -> None:
        looked = time.monotonic()
        while self._strikes < _MAX_STALLED_CHECKS:
            self._report.send("heartbeat", busy=_busy(), total=_total())
            time.sleep(_HEARTBEAT_SECONDS)
            if time.monotonic() - looked >= _CHECK_SECONDS:
                looked = time.monotonic()
                self._look()
        log.error(
            "queue_worker_stalled", plan=self._plan.name, meaning="runs wait, and it takes none"
        )
        self._report.send("stalled")
        while True:
            time.sleep(_HEARTBEAT_SECONDS)
            self._report.send("heartbeat", busy=_busy(), total=_total())

    def _look(self) -> None:
        before, self._total = self._total, _total()
        idle = self._total == before and _busy() < self._plan.concurrency
        self._strikes = self._strikes + 1 if idle and self._something_waits() else 0

    def _something_waits(self) -> bool:
        try:
            return any(queue_depths(self._broker, self._plan.queues).values())
        except Exception:  # noqa: BLE001 - the broker is away: then nobody hears anything
            return False


def _busy() -> int:
    return len(state.reserved_requests)


def _total() -> int:
    return int(state.all_total_count[0])
