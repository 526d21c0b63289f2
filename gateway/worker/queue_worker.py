"""One lane: a Celery worker, in a process that the foreman has forked."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import threading
import warnings
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any

from celery import Celery, signals
from celery.worker import state

from gateway.broker.broker import Broker, BrokerKind
from gateway.broker.celery_app import build_app
from gateway.broker.queues import TASK
from gateway.worker.executor import BuildExecutor
from gateway.worker.monitor import QueueMonitor
from gateway.worker.plan import QueueWorkerPlan
from gateway.worker.run_loop import RunLoopThread
from telemetry.logs import logger
from telemetry.parent_process import StatusPipe, exit_with_parent

_CONSUMER = "gateway.worker.consumer:ReconnectingConsumer"

log = logger("gateway.worker.lane")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipes:
    """A lane's ends of the pipes to its foreman."""

    status_fd: int
    """To report on, in JSON lines."""
    lifeline_fd: int
    """Closes when the foreman ends."""
    hurry_fd: int
    """Closes when runs have to be handed back."""


def preload(broker: Broker) -> None:
    """Import what lanes and children will need, so that they share it: call it before the fork."""
    for module in ("celery.apps.worker", "celery.concurrency.prefork", "celery.worker.consumer"):
        import_module(module)
    build_app(broker).connection_for_read().get_transport_cls()


class QueueWorker:
    """What a lane's process does, and what its children do, which are forked off it."""

    def __init__(
        self,
        plan: QueueWorkerPlan,
        broker: Broker,
        build: BuildExecutor,
        ends: Pipes,
        *,
        scratch: Path,
    ) -> None:
        """Keep in `scratch` what Celery's pool wants to keep in files for a moment."""
        self._plan = plan
        self._broker = broker
        self._build = build
        self._ends = ends
        self._scratch = scratch
        self._report = StatusPipe(ends.status_fd)
        self._children_lifeline = os.pipe()
        self._child: RunLoopThread | None = None
        self._monitored = False

    def run(self) -> int:
        """Take messages until SIGTERM, finish what runs, and return the exit status."""
        exit_with_parent(self._ends.lifeline_fd)
        warnings.filterwarnings("ignore", message=".*superuser privileges")  # as in containers
        # Otherwise it makes a folder in /tmp, which stays there when the process is killed.
        multiprocessing.current_process()._config["tempdir"] = str(self._scratch)  # type: ignore[attr-defined]  # noqa: SLF001
        app = self._application()
        worker = app.Worker(
            hostname=f"{self._plan.name}-{os.getpid()}@{socket.gethostname()}",
            concurrency=self._plan.concurrency,
            queues=[queue.name_in(self._broker.prefix) for queue in self._plan.queues],
            pool="prefork",
            optimization="fair",
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
            quiet=True,
        )
        worker.start()
        return worker.exitcode or 0

    def _application(self) -> Celery:
        app = build_app(self._broker)
        app.set_default()
        app.conf.worker_consumer = _CONSUMER
        if self._broker.kind is BrokerKind.FOLDER:
            app.conf.broker_transport_options["has_room"] = (
                self._has_room
            )  # as Celery has for Redis

        def run(run_id: str) -> None:
            assert self._child is not None
            self._child.run(run_id)

        app.task(name=TASK)(run)
        signals.setup_logging.connect(_as_they_are, weak=False)
        signals.worker_ready.connect(self._ready, weak=False)
        signals.worker_process_init.connect(self._start_child, weak=False)
        signals.worker_process_shutdown.connect(self._end_child, weak=False)
        return app

    def _has_room(self) -> bool:
        return len(state.reserved_requests) < self._plan.concurrency

    def _ready(self, **_: Any) -> None:  # Any: what Celery's signals carry
        """Celery takes messages: for the first time, or after the broker was away."""
        signal.signal(signal.SIGTERM, _finish)  # as Celery does, without its line on stdout
        self._report.send("ready")
        if not self._monitored:
            self._monitored = True
            QueueMonitor(self._plan, self._broker, self._report).start()

    def _start_child(self, **_: Any) -> None:  # Any: the same
        """Become a child: from here on things may be opened."""
        read_fd, write_fd = self._children_lifeline
        os.close(write_fd)
        exit_with_parent(read_fd)
        child = self._child = RunLoopThread(self._build)
        threading.Thread(target=self._hurry, args=(child,), name="hurry", daemon=True).start()

    def _hurry(self, child: RunLoopThread) -> None:
        while os.read(self._ends.hurry_fd, 1):
            pass
        child.close()

    def _end_child(self, **_: Any) -> None:  # Any: the same
        if self._child is not None:
            self._child.close()


def _as_they_are(**_: Any) -> None:  # Any: the same
    """Have Celery leave the log lines as `telemetry.logs` has set them up."""


def _finish(_number: int, _frame: FrameType | None) -> None:
    """Have Celery take no more, finish what it has, and end."""
    state.should_stop = 0
