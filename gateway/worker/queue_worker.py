"""A Celery worker on the queues of runs, and its command line."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any

from billiard import current_process
from celery import Celery, signals
from celery.worker import state

from gateway.broker.broker import TASK, Broker, BrokerError, BrokerKind, Queue, parse_broker_url
from gateway.broker.celery_app import build_app
from gateway.broker.worker_files import HeartbeatFile
from gateway.settings import Settings
from gateway.upstream.credentials import UpstreamCredentials
from gateway.worker.child_heartbeats import ChildHeartbeats
from gateway.worker.monitor import QueueMonitor
from gateway.worker.plan import QueueWorkerPlan, parse_queues
from gateway.worker.run_loop import BuildExecutor, RunLoopThread, WorkerExecutor
from telemetry import garbage_collection, logs
from telemetry.options import option, read, whole_number
from telemetry.parent_process import StatusPipe, exit_with_parent
from transport import TlsError

_CONSUMER = "gateway.worker.consumer:ReconnectingConsumer"
_UNUSABLE = 3
_VERBOSE_LOGGERS = ("celery", "kombu", "amqp")
"""They log every message; what matters about it, we log ourselves."""

log = logs.logger("gateway.worker")


@dataclass(frozen=True, kw_only=True)
class _QueueWorkerOptions:
    name: str = option(str, "name of the queue worker", required=True, in_environment=False)
    queues: tuple[Queue, ...] = option(
        parse_queues, "sync, async or sync,async", required=True, in_environment=False
    )
    concurrency: int = option(
        whole_number(1), "runs at a time", required=True, in_environment=False
    )
    lifeline_fd: int = option(
        whole_number(0),
        "pipe that closes when the parent ends",
        required=True,
        in_environment=False,
    )
    status_fd: int = option(
        whole_number(0), "pipe for status lines", required=True, in_environment=False
    )
    metrics_folder: Path | None = option(
        Path, "where the children share what they measure", in_environment=False
    )


def main(arguments: Sequence[str], build: Callable[[Settings, Path], WorkerExecutor]) -> int:
    """Work until SIGTERM; return the exit status.

    `build` is called in each child, with the folder in which it shares what it measures.
    """
    given = read(
        _QueueWorkerOptions,
        arguments,
        prefix="",
        program="python -m gateway.worker",
        description=__doc__,
    )
    plan = QueueWorkerPlan(name=given.name, queues=given.queues, concurrency=given.concurrency)
    report = StatusPipe(given.status_fd)
    settings = Settings()
    logs.configure(
        settings.log_level,
        process="worker",
        log_format=settings.log_format,
        file=settings.log_file,
    )
    for name in _VERBOSE_LOGGERS:
        logging.getLogger(name).setLevel("WARNING")
    scratch = settings.run.absolute() / "worker"
    try:
        scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        broker = parse_broker_url(
            settings.broker_url, folder=settings.broker_folder, prefix=settings.queue_prefix
        )
        UpstreamCredentials.from_settings(
            settings
        )  # each child opens its own; errors in them are reported once
    except (BrokerError, OSError, TlsError) as error:
        report.send("failed", message=str(error))
        sys.stderr.write(f"worker: {error}\n")
        return _UNUSABLE
    log.info(
        "queue_worker_started",
        broker=broker.display_url,
        name=plan.name,
        queues=plan.queues,
        concurrency=plan.concurrency,
    )
    metrics = given.metrics_folder or settings.run.absolute() / "metrics"
    worker = QueueWorker(
        plan,
        broker,
        lambda: build(settings, metrics),
        report=report,
        parent_fds=(given.lifeline_fd, given.status_fd),
        heartbeat_file=HeartbeatFile(settings.run),
        grace_seconds=settings.drain_seconds,
        unresponsive_seconds=settings.unresponsive_seconds,
        scratch=scratch,
    )
    exit_with_parent(given.lifeline_fd)
    return worker.run()


class QueueWorker:
    """Celery's main process, and what runs in each of the children that it forks."""

    def __init__(
        self,
        plan: QueueWorkerPlan,
        broker: Broker,
        build: BuildExecutor,
        *,
        report: StatusPipe,
        parent_fds: Sequence[int],
        heartbeat_file: HeartbeatFile,
        grace_seconds: float,
        unresponsive_seconds: float,
        scratch: Path,
    ) -> None:
        """Prepare a worker; nothing is opened before `run`.

        Args:
            plan: its queues and the number of its children.
            broker: delivers the messages.
            build: makes a child's executor.
            report: tells the parent how far it is.
            parent_fds: descriptors that children must not keep open.
            heartbeat_file: shows on this machine that it lives.
            grace_seconds: how long runs may go on after SIGTERM; then they are handed back.
            unresponsive_seconds: silence of a child's event loop after which the child is killed.
            scratch: folder for the short-lived files of Celery's pool.
        """
        self._plan = plan
        self._broker = broker
        self._build = build
        self._report = report
        self._parent_fds = parent_fds
        self._heartbeat_file = heartbeat_file
        self._grace_seconds = grace_seconds
        self._scratch = scratch
        self._child_heartbeats = ChildHeartbeats(
            plan.concurrency, unresponsive_seconds=unresponsive_seconds
        )
        self._children_lifeline = os.pipe()
        self._abort = os.pipe()
        self._run_loop: RunLoopThread | None = None
        self._monitored = False

    def run(self) -> int:
        """Take messages until SIGTERM, finish the current runs, and return the exit status."""
        warnings.filterwarnings("ignore", message=".*superuser privileges")  # as in containers
        # Otherwise it makes a folder in /tmp, which stays there when the process is killed.
        multiprocessing.current_process()._config["tempdir"] = str(self._scratch)  # type: ignore[attr-defined]  # noqa: SLF001
        app = self._application()
        _preload(app)
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
        try:
            worker.start()
        finally:
            self._heartbeat_file.remove()
        return worker.exitcode or 0

    def _application(self) -> Celery:
        app = build_app(self._broker)
        app.set_default()
        app.conf.worker_consumer = _CONSUMER
        if self._broker.kind is BrokerKind.FOLDER:  # Celery does the same for Redis by itself
            app.conf.broker_transport_options["has_room"] = self._has_room

        def run(run_id: str) -> None:
            assert self._run_loop is not None
            self._run_loop.run(run_id)

        app.task(name=TASK)(run)
        signals.setup_logging.connect(_keep_logging, weak=False)
        signals.worker_ready.connect(self._on_ready, weak=False)
        signals.worker_process_init.connect(self._start_child, weak=False)
        signals.worker_process_shutdown.connect(self._end_child, weak=False)
        return app

    def _has_room(self) -> bool:
        return len(state.reserved_requests) < self._plan.concurrency

    def _on_ready(self, **_: Any) -> None:  # Any: what Celery's signals carry
        """Celery takes messages: for the first time, or after a reconnect."""
        signal.signal(signal.SIGTERM, self._drain)  # as Celery's, without its line on stdout
        self._report.send("ready")
        if not self._monitored:
            self._monitored = True
            QueueMonitor(
                self._plan,
                self._broker,
                self._report,
                self._heartbeat_file,
                self._child_heartbeats,
            ).start()

    def _drain(self, _number: int, _frame: FrameType | None) -> None:
        """Have Celery take no more messages, finish its runs, and end."""
        if state.should_stop is None:
            abort = threading.Timer(self._grace_seconds, os.close, (self._abort[1],))
            abort.daemon = True
            abort.start()
        state.should_stop = 0

    def _start_child(self, **_: Any) -> None:  # Any: the same
        """Set up a forked child. Only from here on may connections be opened."""
        read_fd, write_fd = self._children_lifeline
        for fd in (write_fd, self._abort[1], *self._parent_fds):
            os.close(fd)
        exit_with_parent(read_fd)
        child = current_process().index
        run_loop = self._run_loop = RunLoopThread(
            self._build, lambda: self._child_heartbeats.write(child)
        )
        threading.Thread(target=self._await_abort, args=(run_loop,), daemon=True).start()

    def _await_abort(self, run_loop: RunLoopThread) -> None:
        while os.read(self._abort[0], 1):
            pass
        run_loop.close()

    def _end_child(self, **_: Any) -> None:  # Any: the same
        if self._run_loop is not None:
            self._run_loop.close()


def _preload(app: Celery) -> None:
    """Import what the children need before they are forked, so that they share its memory."""
    for module in ("celery.apps.worker", "celery.concurrency.prefork", "celery.worker.consumer"):
        import_module(module)
    app.connection_for_read().get_transport_cls()
    garbage_collection.resume()


def _keep_logging(**_: Any) -> None:  # Any: the same
    """Keep the logging of `telemetry.logs`: a connected receiver stops Celery from changing it."""
