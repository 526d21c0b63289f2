"""Heartbeats of a queue worker, and detection of one that no longer receives messages."""

from __future__ import annotations

import os
import threading
import time

from celery.worker import state

from gateway.broker.broker import Broker
from gateway.broker.celery_app import queue_depths
from gateway.broker.worker_files import HeartbeatFile, WorkerHeartbeat
from gateway.worker.plan import QueueWorkerPlan
from telemetry.logs import logger
from telemetry.parent_process import StatusPipe

_HEARTBEAT_SECONDS = 1.0
_CHECK_SECONDS = 5.0
_MAX_STALLED_CHECKS = 3
_STALLED_EXIT_SECONDS = 10.0
"""How long a stalled queue worker may stay without a run before it ends itself."""
_STALLED = 1

log = logger("gateway.worker.monitor")


class QueueMonitor:
    """Reports how busy the queue worker is, and `stalled` when runs wait and it takes none.

    Celery's consumers have been known to reconnect and then receive nothing. A queue worker is
    stalled when, in three consecutive checks, it had a free child and received nothing while the
    broker, asked over a new connection, said that messages were waiting. The supervisor then starts
    another one and sends this one SIGTERM; it finishes its runs first.
    """

    def __init__(
        self,
        plan: QueueWorkerPlan,
        broker: Broker,
        report: StatusPipe,
        heartbeat_file: HeartbeatFile,
    ) -> None:
        self._plan = plan
        self._broker = broker
        self._report = report
        self._heartbeat_file = heartbeat_file
        self._total = 0
        self._stalled_checks = 0

    def start(self) -> None:
        """Start the monitor's thread."""
        threading.Thread(target=self._run, name="monitor", daemon=True).start()

    def _run(self) -> None:
        checked_at = time.monotonic()
        while self._stalled_checks < _MAX_STALLED_CHECKS:
            self._send_heartbeat(ready=state.should_stop is None)
            time.sleep(_HEARTBEAT_SECONDS)
            if time.monotonic() - checked_at >= _CHECK_SECONDS:
                checked_at = time.monotonic()
                self._check()
        log.error("queue_worker_stalled", name=self._plan.name, meaning="runs wait, it takes none")
        self._report.send("stalled")
        self._end_when_idle()

    def _send_heartbeat(self, *, ready: bool) -> None:
        busy = _busy()
        self._report.send("heartbeat", busy=busy, total=_total())
        self._heartbeat_file.write(
            WorkerHeartbeat(
                pid=os.getpid(), ready=ready, concurrency=self._plan.concurrency, busy=busy
            )
        )

    def _check(self) -> None:
        previous, self._total = self._total, _total()
        idle = self._total == previous and _busy() < self._plan.concurrency
        self._stalled_checks = self._stalled_checks + 1 if idle and self._messages_wait() else 0

    def _messages_wait(self) -> bool:
        try:
            return any(queue_depths(self._broker, self._plan.queues).values())
        except Exception:  # noqa: BLE001 - without a broker no queue worker receives anything
            return False

    def _end_when_idle(self) -> None:
        """End the process when SIGTERM has had no effect, which Celery can miss while stalled."""
        idle_since = time.monotonic()
        while time.monotonic() - idle_since < _STALLED_EXIT_SECONDS:
            time.sleep(_HEARTBEAT_SECONDS)
            self._send_heartbeat(ready=False)
            if _busy():
                idle_since = time.monotonic()
        self._heartbeat_file.remove()
        os._exit(_STALLED)  # its children end with their lifeline


def _busy() -> int:
    return len(state.reserved_requests)


def _total() -> int:
    return int(state.all_total_count[0])
