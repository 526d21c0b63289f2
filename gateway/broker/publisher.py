"""Sends run ids to the broker from a thread, so that the event loop never waits for it."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from gateway.broker.broker import Broker, Queue
from gateway.broker.worker_files import WakeFile
from telemetry.logs import logger, reason_of

if TYPE_CHECKING:  # imports Celery, which only the publisher's thread needs
    from gateway.broker.celery_app import RunSender

_MIN_RETRY_SECONDS = 0.1
_MAX_RETRY_SECONDS = 2.0
_BATCH = 64
"""Ids that are sent, and reported as published, together."""
_CLOSE_SECONDS = 2.0
_DEPTHS_SECONDS = 1.0
"""For which the broker may take to say how many messages it has."""

log = logger("gateway.broker.publisher")

OnPublished = Callable[[Sequence[str]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublisherState:
    """The state of the connection to the broker, as of the last attempt."""

    connected: bool
    waiting: int
    """Accepted ids that have not been sent."""
    sent: int
    refused: int
    """Ids that were refused because too many waited."""
    failed: int
    """Attempts to connect or to send that failed while ids waited; the next one sends them."""
    error: str | None
    """Why it is not connected."""


class Publisher:
    """Accepts run ids at any time, and sends them when the broker is reachable.

    Ids that wait when the process ends are lost here; the sweep finds their rows.
    """

    def __init__(
        self,
        broker: Broker,
        on_published: OnPublished,
        *,
        wake_file: WakeFile,
        capacity: int = 20_000,
    ) -> None:
        """Send to `broker`, and ring `wake_file` afterwards.

        `on_published` is called on the event loop of `start` with ids that the broker has.
        """
        self._broker = broker
        self._on_published = on_published
        self._wake_file = wake_file
        self._capacity = capacity
        self._waiting: deque[tuple[str, Queue]] = deque()
        self._questions: deque[Future[Mapping[Queue, int] | None]] = deque(maxlen=8)
        self._wake_up = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connected = False
        self._attempted = False
        self._error: str | None = "not connected yet"
        self._sent = 0
        self._refused = 0
        self._failed = 0

    def start(self) -> None:
        """Start on the running event loop, and connect, so that the first id is sent at once."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self._thread.start()

    def publish(self, run_id: str, queue: Queue) -> bool:
        """Queue an id without waiting; return False if it is closed or too many ids wait."""
        if self._closing.is_set() or len(self._waiting) >= self._capacity:
            self._refused += 1
            return False
        self._waiting.append((run_id, queue))
        self._wake_up.set()
        return True

    def state(self) -> PublisherState:
        """Return the current state."""
        return PublisherState(
            connected=self._connected,
            waiting=self.waiting,
            sent=self._sent,
            refused=self._refused,
            failed=self._failed,
            error=None if self._connected else self._error,
        )

    @property
    def waiting(self) -> int:
        """How many accepted ids have not been sent."""
        return len(self._waiting)

    @property
    def lost(self) -> bool:
        """Whether the last attempt to reach the broker failed; False before the first has ended."""
        return self._attempted and not self._connected

    async def depths(self) -> Mapping[Queue, int] | None:
        """Return how many messages the broker has by queue; None if it does not say soon."""
        if not self._connected:
            return None
        question: Future[Mapping[Queue, int] | None] = Future()
        self._questions.append(question)
        self._wake_up.set()
        try:
            async with asyncio.timeout(_DEPTHS_SECONDS):
                return await asyncio.wrap_future(question)
        except TimeoutError:
            return None

    async def close(self) -> None:
        """Send the waiting ids for up to two seconds, then stop."""
        self._closing.set()
        self._wake_up.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, _CLOSE_SECONDS)

    def _run(self) -> None:
        pause = _MIN_RETRY_SECONDS
        while True:
            try:
                with _sender(self._broker) as sender:
                    self._set_connection(None)
                    pause = _MIN_RETRY_SECONDS
                    self._send_until_closed(sender)
                    return
            except Exception as error:  # noqa: BLE001 - whatever it is, it must not end the thread
                self._set_connection(error)
                self._failed += bool(self._waiting)
                self._wake_up.set()  # the next connection sends what waits
            if self._closing.wait(pause):
                return
            pause = min(2 * pause, _MAX_RETRY_SECONDS)

    def _send_until_closed(self, sender: RunSender) -> None:
        while self._waiting or not self._closing.is_set():
            self._wake_up.wait()
            self._wake_up.clear()
            while self._waiting or self._questions:
                if self._questions:
                    _answer(self._questions.popleft(), sender)
                self._send_some(sender)

    def _send_some(self, sender: RunSender) -> None:
        runs = tuple(islice(self._waiting, _BATCH))
        if not runs:
            return
        sender.send(runs)  # if it fails, all of them are sent again
        for _ in runs:
            self._waiting.popleft()
        self._report([run_id for run_id, _ in runs])

    def _report(self, sent: Sequence[str]) -> None:
        self._sent += len(sent)
        self._wake_file.touch()
        assert self._loop is not None
        with suppress(RuntimeError):  # the loop has been closed
            self._loop.call_soon_threadsafe(self._on_published, sent)

    def _set_connection(self, error: Exception | None) -> None:
        self._attempted = True
        was_connected, self._connected = self._connected, error is None
        first, self._error = self._error, None if error is None else reason_of(error)
        if error is None:
            log.info("broker_connected", broker=self._broker.display_url)
        elif was_connected or first != self._error:
            log.warning("broker_lost", broker=self._broker.display_url, reason=self._error)


def _answer(question: Future[Mapping[Queue, int] | None], sender: RunSender) -> None:
    """Answer None, and raise, if the broker cannot be asked."""
    if not question.set_running_or_notify_cancel():
        return
    depths = None
    try:
        depths = sender.depths()
    finally:
        question.set_result(depths)


def _sender(broker: Broker) -> RunSender:
    from gateway.broker.celery_app import RunSender as Made  # noqa: PLC0415

    return Made(broker)
