"""Heartbeats of a queue worker and its children, and detection of one that receives nothing."""

from __future__ import annotations

import os
import threading
import time

from celery.worker import state

from gateway.broker.broker import Broker
from gateway.broker.celery_app import queue_depths
from gateway.broker.worker_files import HeartbeatFile, WorkerHeartbeat
from gateway.worker.child_heartbeats import ChildHeartbeats
from gateway.worker.plan import QueueWorkerPlan
from telemetry.logs import logger
from telemetry.parent_process import HEARTBEAT_SECONDS, StatusPipe

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

    Heartbeats do not come from Celery's own loop: that waits, for minutes if need be, while the
    broker is away, and the runs of the children must not be killed for that.
    """

    def __init__(
        self,
        plan: QueueWorkerPlan,
        broker: Broker,
        report: StatusPipe,
        heartbeat_file: HeartbeatFile,
        children: ChildHeartbeats,
    ) -> None:
        self._plan = plan
        self._broker = broker
        self._report = report
        self._heartbeat_file = heartbeat_file
        self._children = children
        self._total = 0
        self._stalled_checks = 0

    def start(self) -> None:
        """Start the monitor's threads; a check may wait for the broker longer than heartbeats."""
        threading.Thread(target=self._send_heartbeats, name="heartbeats", daemon=True).start()
        threading.Thread(target=self._run, name="monitor", daemon=True).start()

    def _send_heartbeats(self) -> None:
        while True:
            self._send_heartbeat()
            slept_at = time.monotonic()
            time.sleep(HEARTBEAT_SECONDS)
            late = time.monotonic() - slept_at - HEARTBEAT_SECONDS
            if late > HEARTBEAT_SECONDS:
                self._children.skip(late)
            else:
                self._children.kill_silent()

    def _run(self) -> None:
        while self._stalled_checks < _MAX_STALLED_CHECKS:
            time.sleep(_CHECK_SECONDS)
            self._check()
        log.error("queue_worker_stalled", name=self._plan.name, meaning="runs wait, it takes none")
        self._report.send("stalled")
        self._end_when_idle()

    def _send_heartbeat(self) -> None:
        busy = _busy()
        ready = state.should_stop is None and self._stalled_checks < _MAX_STALLED_CHECKS
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
            time.sleep(HEARTBEAT_SECONDS)
            if _busy():
                idle_since = time.monotonic()
        self._heartbeat_file.remove()
        os._exit(_STALLED)  # its children end with their lifeline


def _busy() -> int:
    return len(state.reserved_requests)


def _total() -> int:
    return int(state.all_total_count[0])
