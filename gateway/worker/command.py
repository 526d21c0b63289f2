"""`python -m gateway.worker`: what it is asked for, and how it begins."""

from __future__ import annotations

import argparse
import gc
import logging
import sys
from collections.abc import Callable, Sequence

from gateway.broker.broker import BrokerError, parse_broker_url
from gateway.broker.heartbeat_file import HeartbeatFile
from gateway.broker.queues import Queue
from gateway.settings import Settings
from gateway.upstream.credentials import UpstreamCredentials
from gateway.worker.executor import RunExecutor
from gateway.worker.foreman import WorkerManager
from gateway.worker.plan import QueueWorkerPlan, plan_queue_workers
from gateway.worker.queue_worker import Pipes, QueueWorker, preload
from telemetry import logs
from telemetry.parent_process import StatusPipe
from transport import TlsError

_UNUSABLE = 3
_MAX_CONCURRENCY = 1000
_VERBOSE_LOGGERS = ("celery", "kombu", "amqp")
"""They tell of each message; what matters of it, we say ourselves."""

ExecutorFactory = Callable[[Settings], RunExecutor]

log = logs.logger("gateway.worker")


def main(arguments: Sequence[str], build: ExecutorFactory) -> int:
    """Work until told to stop; return the exit status. `build` is called in each child."""
    given = _parser().parse_args(arguments)
    report = StatusPipe(given.status_fd)
    settings = Settings()
    logs.configure(settings.log_level, process="worker")
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
        )  # each child makes its own; what is wrong with them is said once
    except (BrokerError, OSError, TlsError) as error:
        report.send("failed", message=str(error))
        sys.stderr.write(f"worker: {error}\n")
        return _UNUSABLE

    def live(plan: QueueWorkerPlan, ends: Pipes) -> int:
        return QueueWorker(plan, broker, lambda: build(settings), ends, scratch=scratch).run()

    lanes = plan_queue_workers(
        given.concurrency, given.queues, delivers_on_demand=broker.delivers_on_demand
    )
    foreman = WorkerManager(
        lanes,
        live,
        report=report,
        heartbeat=HeartbeatFile(settings.run),
        lifeline_fd=given.lifeline_fd,
        inherited=[fd for fd in (given.lifeline_fd, given.status_fd) if fd is not None],
        grace_seconds=settings.drain_seconds,
        idle_seconds=given.idle_seconds,
    )
    log.info(
        "worker_started",
        broker=broker.display_url,
        lanes={plan.name: [plan.concurrency, *plan.queues] for plan in lanes},
    )
    preload(broker)
    gc.freeze()  # a collection in a lane or a child would copy what they share
    return foreman.run()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("slipstream worker", description=__doc__)
    add = parser.add_argument
    add("--concurrency", type=_count, default=2, help="runs at a time; at least one a queue")
    add("--queues", type=_queues, default=tuple(Queue), help="sync, async, or both by a comma")
    add("--idle-seconds", type=float, help="report `idle` after so long without a run")
    add("--lifeline-fd", type=int, help="a pipe that ends when the parent dies")
    add("--status-fd", type=int, help="a pipe for status lines")
    return parser


def _count(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= _MAX_CONCURRENCY):
        message = f"expected a whole number from 1 to {_MAX_CONCURRENCY}, got '{text}'"
        raise argparse.ArgumentTypeError(message)
    return int(text)


def _queues(text: str) -> tuple[Queue, ...]:
    try:
        return tuple(dict.fromkeys(Queue(word.strip()) for word in text.split(",")))
    except ValueError:
        message = f"expected sync, async or sync,async, got '{text}'"
        raise argparse.ArgumentTypeError(message) from None
