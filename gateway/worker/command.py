"""`python -m gateway.worker`: what it is asked for, and how it begins."""

from __future__ import annotations

import argparse
import gc
import logging
import sys
from collections.abc import Callable, Sequence

from gateway.broker.beacon import BeaconFile
from gateway.broker.broker import BrokerError, read_broker
from gateway.broker.queues import Queue
from gateway.settings import Settings
from gateway.upstream.credentials import Credentials
from gateway.worker.executor import Executor
from gateway.worker.foreman import Foreman
from gateway.worker.lane_process import Ends, LaneProcess, preload
from gateway.worker.lanes import Lane, plan
from telemetry import logs
from telemetry.parent_process import StatusPipe
from transport import TlsError

_UNUSABLE = 3
_MOST_CHILDREN = 1000
_NOISY = ("celery", "kombu", "amqp")
"""They tell of each message; what matters of it, we say ourselves."""

BuildWith = Callable[[Settings], Executor]

log = logs.logger("gateway.worker")


def main(arguments: Sequence[str], build: BuildWith) -> int:
    """Work until told to stop; return the exit status. `build` is called in each child."""
    given = _parser().parse_args(arguments)
    report = StatusPipe(given.status_fd)
    settings = Settings()
    logs.configure(settings.log_level, process="worker")
    for name in _NOISY:
        logging.getLogger(name).setLevel("WARNING")
    scratch = settings.run.absolute() / "worker"
    try:
        scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        broker = read_broker(
            settings.broker_url, folder=settings.broker_folder, prefix=settings.queue_prefix
        )
        Credentials.of(settings)  # each child makes its own; what is wrong with them is said once
    except (BrokerError, OSError, TlsError) as error:
        report.send("failed", message=str(error))
        sys.stderr.write(f"worker: {error}\n")
        return _UNUSABLE

    def live(lane: Lane, ends: Ends) -> int:
        return LaneProcess(lane, broker, lambda: build(settings), ends, scratch=scratch).run()

    lanes = plan(given.concurrency, given.queues, singly=broker.hands_out_singly)
    foreman = Foreman(
        lanes,
        live,
        report=report,
        beacon=BeaconFile(settings.run),
        lifeline_fd=given.lifeline_fd,
        inherited=[fd for fd in (given.lifeline_fd, given.status_fd) if fd is not None],
        grace_seconds=settings.drain_seconds,
        idle_seconds=given.idle_seconds,
    )
    log.info(
        "worker_started",
        broker=broker.shown,
        lanes={lane.name: [lane.children, *lane.queues] for lane in lanes},
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
    if not (text.isdecimal() and 1 <= int(text) <= _MOST_CHILDREN):
        message = f"expected a whole number from 1 to {_MOST_CHILDREN}, got '{text}'"
        raise argparse.ArgumentTypeError(message)
    return int(text)


def _queues(text: str) -> tuple[Queue, ...]:
    try:
        return tuple(dict.fromkeys(Queue(word.strip()) for word in text.split(",")))
    except ValueError:
        message = f"expected sync, async or sync,async, got '{text}'"
        raise argparse.ArgumentTypeError(message) from None
