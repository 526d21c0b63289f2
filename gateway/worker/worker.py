"""A worker: one process whose event loop executes the runs that come over the broker."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import uvloop

from gateway.broker.broker import Broker, BrokerError, Queue, parse_broker_url, parse_queues
from gateway.broker.worker_files import HeartbeatFile, WorkerHeartbeat
from gateway.execution.lent_slots import GiveBack
from gateway.settings import Settings
from gateway.upstream.credentials import UpstreamCredentials
from gateway.worker.consumer import RunConsumer
from gateway.worker.slots import RunSlots
from gateway.worker.stall import until_stalled
from telemetry import garbage_collection, logs
from telemetry.logs import reason_of
from telemetry.options import option, read, whole_number
from telemetry.parent_process import HEARTBEAT_SECONDS, StatusPipe, exit_with_parent
from transport import TlsError

_FAILED, _UNUSABLE = 1, 3
_MIN_RETRY_SECONDS = 0.2
_MAX_RETRY_SECONDS = 5.0
_CLOSE_SECONDS = 3.0
"""How long the executor may take to hand back runs and close its connections."""
_JOIN_SECONDS = 3.0
"""How long the consumer's thread may take to end. It waits for what it has asked a Redis for, up to
a second: a message may be on its way. A broker that hangs never answers."""
_VERBOSE_LOGGERS = ("celery", "kombu", "amqp")
"""They log every message; what matters about it, we log ourselves."""

log = logs.logger("gateway.worker")


class WorkerExecutor(Protocol):
    """Executes runs by their ids. Built, used and closed on one event loop."""

    async def start(self) -> None:
        """Open connections. If this raises, another executor is built after a pause."""

    async def run(self, run_id: str, give_back: GiveBack) -> None:
        """Claim the run, execute it and store its result; do nothing if it cannot be claimed.

        `give_back` is entered while it only waits: another one may have its slot.
        """

    async def close(self) -> None:
        """Hand back the runs that go on, then close everything. Has a few seconds."""


@dataclass(frozen=True, kw_only=True)
class _WorkerOptions:
    queues: tuple[Queue, ...] = option(
        parse_queues, "sync, async or sync,async", required=True, in_environment=False
    )
    concurrency: int = option(
        whole_number(1), "runs of each queue at a time", required=True, in_environment=False
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
        Path, "where to share what is measured", in_environment=False
    )


def main(arguments: Sequence[str], build: Callable[[Settings, Path], WorkerExecutor]) -> int:
    """Work until SIGTERM; return the exit status.

    `build` makes the executor, which shares what it measures in the given folder.
    """
    given = read(
        _WorkerOptions,
        arguments,
        prefix="",
        program="python -m gateway.worker",
        description=__doc__,
    )
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
    try:
        broker = parse_broker_url(
            settings.broker_url, folder=settings.broker_folder, prefix=settings.queue_prefix
        )
        UpstreamCredentials.from_settings(settings)
    except (BrokerError, TlsError) as error:
        report.send("failed", message=str(error))
        sys.stderr.write(f"worker: {error}\n")
        return _UNUSABLE
    slots = RunSlots(given.concurrency, given.queues)
    log.info(
        "worker_started",
        broker=broker.display_url,
        queues=slots.queues,
        concurrency=slots.concurrency,
    )
    metrics = given.metrics_folder or settings.run.absolute() / "metrics"
    worker = Worker(
        broker,
        slots,
        lambda: build(settings, metrics),
        report=report,
        heartbeat_file=HeartbeatFile(settings.run),
        grace_seconds=settings.drain_seconds,
    )
    exit_with_parent(given.lifeline_fd)
    garbage_collection.resume()
    return uvloop.run(worker.run())


class Worker:
    """Executes runs while it has slots for them, until it is told to stop."""

    def __init__(
        self,
        broker: Broker,
        slots: RunSlots,
        build: Callable[[], WorkerExecutor],
        *,
        report: StatusPipe,
        heartbeat_file: HeartbeatFile,
        grace_seconds: float,
    ) -> None:
        """Prepare a worker; nothing is opened before `run`.

        Args:
            broker: delivers the run ids.
            slots: how many runs are executed at a time.
            build: makes the executor, on the event loop.
            report: tells the parent how far it is.
            heartbeat_file: shows on this machine that it lives.
            grace_seconds: how long runs may go on after SIGTERM; then they are handed back.
        """
        self._broker = broker
        self._slots = slots
        self._build = build
        self._report = report
        self._heartbeat_file = heartbeat_file
        self._grace_seconds = grace_seconds
        self._executor: WorkerExecutor | None = None
        self._runs: set[asyncio.Task[None]] = set()
        self._ready = False

    async def run(self) -> int:
        """Execute runs until SIGTERM, finish the current ones, and return the exit status."""
        loop = asyncio.get_running_loop()
        stop, ended = asyncio.Event(), asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, stop.set)

        def call(function: Callable[..., object], *arguments: object) -> None:
            with suppress(RuntimeError):  # the loop has ended before the consumer's thread
                loop.call_soon_threadsafe(function, *arguments)

        consumer = RunConsumer(
            self._broker,
            self._slots,
            begin=lambda run_id, queue: call(self._begin, run_id, queue),
            on_ready=lambda: call(self._on_ready),
            on_end=lambda: call(ended.set),
        )
        background = [
            asyncio.create_task(self._report.send_heartbeats(self._load), name="heartbeats"),
            asyncio.create_task(self._write_heartbeat_file(), name="heartbeat file"),
            asyncio.create_task(self._report_stall(), name="stall check"),
        ]
        starting = asyncio.create_task(self._start(consumer), name="start")
        stopped = [asyncio.create_task(event.wait()) for event in (stop, ended)]
        await asyncio.wait(stopped, return_when=asyncio.FIRST_COMPLETED)
        crashed = ended.is_set()
        starting.cancel()
        self._slots.close()
        consumer.stop()
        if self._runs:
            await asyncio.wait(self._runs, timeout=self._grace_seconds)
        await asyncio.gather(self._close(), asyncio.to_thread(consumer.join, _JOIN_SECONDS))
        for task in (*background, *stopped):
            task.cancel()
        self._heartbeat_file.remove()
        return _FAILED if crashed else os.EX_OK

    async def _start(self, consumer: RunConsumer) -> None:
        """Build the executor, and take runs once it has started: they wait at the broker."""
        pause = _MIN_RETRY_SECONDS
        while self._executor is None:
            try:
                self._executor = await self._started_executor()
            except Exception as error:  # noqa: BLE001 - any service it needs may be down for a while
                log.warning("executor_not_started", reason=reason_of(error))
                await asyncio.sleep(pause)
                pause = min(2 * pause, _MAX_RETRY_SECONDS)
        consumer.start()

    async def _started_executor(self) -> WorkerExecutor:
        executor = self._build()
        try:
            await executor.start()
        except BaseException:
            with suppress(Exception):
                await executor.close()
            raise
        return executor

    def _begin(self, run_id: str, queue: Queue) -> None:
        task = asyncio.create_task(self._execute(run_id, queue))
        self._runs.add(task)
        task.add_done_callback(lambda task: self._ended(task, queue))

    async def _execute(self, run_id: str, queue: Queue) -> None:
        """Execute a run; raises nothing: its row has the outcome."""
        assert self._executor is not None
        try:
            await self._executor.run(run_id, partial(self._slots.lend, queue))
        except asyncio.CancelledError:
            log.warning("run_handed_back", run_id=run_id)
        except Exception:
            log.exception("run_crashed", run_id=run_id)

    def _ended(self, task: asyncio.Task[None], queue: Queue) -> None:
        self._runs.discard(task)
        self._slots.give_back(queue)

    async def _close(self) -> None:
        """Hand back the runs that go on, and close the executor."""
        if self._executor is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._executor.close()
        for task in self._runs:
            task.cancel()
        await asyncio.gather(*self._runs)

    def _on_ready(self) -> None:
        """Celery takes messages: for the first time, or after a reconnect."""
        self._ready = True
        self._report.send("ready")

    def _load(self) -> dict[str, object]:
        return {
            "busy": self._slots.busy,
            "runs": len(self._runs),
            "total": self._slots.taken,
        }

    async def _write_heartbeat_file(self) -> None:
        while True:
            heartbeat = WorkerHeartbeat(
                pid=os.getpid(),
                ready=self._ready and not self._slots.closed,
                concurrency=self._slots.concurrency,
                busy=self._slots.busy,
            )
            await asyncio.to_thread(self._heartbeat_file.write, heartbeat)
            await asyncio.sleep(HEARTBEAT_SECONDS)

    async def _report_stall(self) -> None:
        """Report a consumer that receives nothing; the supervisor replaces the worker."""
        await until_stalled(self._broker, self._slots)
        log.error("worker_stalled", meaning="runs wait, it takes none")
        self._report.send("stalled")
