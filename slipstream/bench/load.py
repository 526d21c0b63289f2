"""The two kinds of load: a closed loop, and calls that arrive at a given rate."""

from __future__ import annotations

import asyncio
import errno
import random
import socket
import ssl
from abc import ABC, abstractmethod
from array import array
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from time import perf_counter, process_time

from slipstream.bench.connection import LoadConnection
from slipstream.bench.plan import LoadPlan
from slipstream.bench.result import (
    Arrivals,
    LoadProgress,
    LoadResult,
    approximate_median,
    summarize,
)
from slipstream.bench.samples import Samples
from transport.certificates import pinned_context

_RECONNECT_SECONDS = 0.05
"""Pause before reconnecting after a failure, so that a dead server does not cost a core."""
_CONNECT_SECONDS = 30.0
"""How long all connections may take to be opened before calls arrive."""
_MAX_CONNECTING = 16
"""Connections opened at the same time: more would be a load of their own."""
_PROGRESS_SECONDS = 0.2
_POLL_SECONDS = 0.05
_TIMER_SECONDS = 0.002
"""Timers are a millisecond coarse: a call that is sent at most so late counts from its sending."""
_MAX_IDLE_SECONDS = 4.0
"""Idle connections are replaced after that: servers close them after five seconds."""
_DRAIN_SECONDS = 5.0
"""How long answers are awaited beyond the deadline when the arrivals have ended."""
_SEED = 11

_ERROR_CODES = {
    ConnectionRefusedError: "connection_refused",
    ConnectionError: "connection_lost",
    TimeoutError: "connection_timeout",
    socket.gaierror: "unknown_host",
    ssl.SSLError: "tls_failed",
}


def create_load(plan: LoadPlan) -> Load:
    """Return the load that a plan describes."""
    return ClosedLoop(plan) if plan.rate is None else PoissonArrivals(plan, plan.rate)


class Load(ABC):
    """Connections that are kept open, and what their calls gave."""

    def __init__(self, plan: LoadPlan) -> None:
        self._plan = plan
        self._samples = Samples()
        self._requests = cycle(plan.requests)
        self._connections: set[LoadConnection] = set()
        self._connecting = asyncio.Semaphore(_MAX_CONNECTING)
        self._tls = _tls_context(plan) if plan.tls else None
        self._warming_up = True
        self._started_at = perf_counter()

    async def run(
        self, stop: asyncio.Event, on_progress: Callable[[LoadProgress], None]
    ) -> LoadResult | None:
        """Warm up, measure, and return the result.

        `stop` ends the load early; None means that nothing was measured until then. `on_progress`
        is called several times per second.
        """
        tasks = [asyncio.create_task(self._keep_connected()) for _ in range(self._plan.connections)]
        tasks.append(asyncio.create_task(self._report(on_progress)))
        try:
            await self._start(tasks)
            await _sleep(self._plan.warmup, stop)
            if stop.is_set():
                return None
            return await self._measure(stop)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    @abstractmethod
    async def _start(self, tasks: list[asyncio.Task[None]]) -> None:
        """Prepare the load, and add the tasks that drive it beside the connections."""

    @abstractmethod
    def _on_idle(self, connection: LoadConnection) -> None:
        """Use a connection that is ready for a call."""

    async def _finish(self, seconds: float) -> Arrivals | None:  # noqa: ARG002 - for subclasses
        """Complete the measurement that lasted `seconds`."""
        return None

    async def _measure(self, stop: asyncio.Event) -> LoadResult:
        self._warming_up = False
        self._samples.reset()
        self._started_at, cpu = perf_counter(), process_time()
        await _sleep(self._plan.seconds, stop)
        now = perf_counter()
        seconds, cpu_seconds = now - self._started_at, process_time() - cpu
        answered = len(self._samples.latencies)
        waits = [now - one.started_at for one in self._connections if one.started_at is not None]
        arrivals = await self._finish(seconds)
        return summarize(
            self._samples,
            connections=self._plan.connections,
            seconds=seconds,
            per_second=answered / seconds,
            waits=waits,
            cpu_seconds=cpu_seconds,
            arrivals=arrivals,
        )

    async def _keep_connected(self) -> None:
        """Connect, and reconnect whenever the connection ends."""
        while True:
            try:
                healthy = await self._use_connection()
            except OSError as error:
                healthy = False
                self._samples.add_connection_failure(_error_code(error))
            if not healthy:
                await asyncio.sleep(_RECONNECT_SECONDS)

    async def _use_connection(self) -> bool:
        """Keep one connection until it ends; return whether it ended without a failed call."""
        loop = asyncio.get_running_loop()
        closed: asyncio.Future[None] = loop.create_future()
        async with self._connecting:
            _, connection = await loop.create_connection(
                lambda: LoadConnection(self._samples, self._on_idle, closed),
                self._plan.host,
                self._plan.port,
                ssl=self._tls,
            )
        self._connections.add(connection)
        try:
            await closed
        except asyncio.CancelledError:
            connection.close()
            raise
        finally:
            self._connections.remove(connection)
        return connection.healthy

    async def _report(self, on_progress: Callable[[LoadProgress], None]) -> None:
        while True:
            await asyncio.sleep(_PROGRESS_SECONDS)
            progress = LoadProgress(
                warming_up=self._warming_up,
                seconds=perf_counter() - self._started_at,
                answered=len(self._samples.latencies),
                failed=self._samples.failures.total(),
                p50_seconds=approximate_median(self._samples.latencies),
            )
            on_progress(progress)


class ClosedLoop(Load):
    """Each connection calls again as soon as it has its answer."""

    async def _start(self, tasks: list[asyncio.Task[None]]) -> None:
        """Add nothing: connections send their calls themselves."""

    def _on_idle(self, connection: LoadConnection) -> None:
        connection.send(next(self._requests), perf_counter())


class PoissonArrivals(Load):
    """Calls arrive at random moments, whether or not earlier ones are answered.

    A call is timed from when it was due, so that a server or a generator that falls behind shows.
    """

    def __init__(self, plan: LoadPlan, rate: float) -> None:
        super().__init__(plan)
        self._rate = rate
        self._idle: deque[LoadConnection] = deque()
        self._due: deque[float] = deque()
        """When calls were due that wait for a connection, oldest first."""
        self._lateness = array("d")
        """Seconds by which the generator noticed calls too late."""
        self._ended = False

    async def _start(self, tasks: list[asyncio.Task[None]]) -> None:
        # Before the first call: servers accept connections slowly while they are overloaded.
        wanted = self._plan.connections
        await _wait_until(lambda: len(self._connections) == wanted, _CONNECT_SECONDS)
        tasks.append(asyncio.create_task(self._arrive()))

    def _on_idle(self, connection: LoadConnection) -> None:
        now = perf_counter()
        while self._due:
            due = self._due.popleft()
            if now - due < self._plan.deadline:
                self._send(connection, due, now)
                return
            self._samples.add_connection_failure("no_connection")
        connection.idle_since = now
        self._idle.append(connection)

    async def _arrive(self) -> None:
        gaps = random.Random(_SEED)  # nosec B311 # the same arrivals in every run
        due = perf_counter()
        measuring = False
        while not self._ended:
            now = perf_counter()
            if not measuring and not self._warming_up:
                measuring = True
                del self._lateness[:]
            while due <= now:
                self._lateness.append(now - due)
                self._call(due, now)
                due += gaps.expovariate(self._rate)
            await asyncio.sleep(max(0.0, due - perf_counter()))

    def _call(self, due: float, now: float) -> None:
        while self._idle:
            connection = self._idle.popleft()
            if now - connection.idle_since > _MAX_IDLE_SECONDS:
                connection.close()
            if connection.is_open:
                self._send(connection, due, now)
                return
        self._due.append(due)

    def _send(self, connection: LoadConnection, due: float, now: float) -> None:
        connection.send(next(self._requests), now if now - due <= _TIMER_SECONDS else due)

    async def _finish(self, seconds: float) -> Arrivals:
        """Stop the arrivals, and wait for the answers of calls that are under way."""
        self._ended = True
        deadline = self._plan.deadline
        good = sum(latency <= deadline for latency in self._samples.latencies)
        offered = len(self._lateness)
        await _wait_until(self._is_idle, deadline + _DRAIN_SECONDS)
        return Arrivals.of(
            self._samples,
            lateness=self._lateness,
            offered=offered,
            good_per_second=good / seconds,
            deadline=deadline,
        )

    def _is_idle(self) -> bool:
        return not self._due and all(one.started_at is None for one in self._connections)


async def _wait_until(condition: Callable[[], bool], seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110 - checked rarely, and never on a call's path
                await asyncio.sleep(_POLL_SECONDS)


async def _sleep(seconds: float, stop: asyncio.Event) -> None:
    """Sleep, or return early when the load is stopped."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()


def _error_code(error: OSError) -> str:
    for kind, code in _ERROR_CODES.items():
        if isinstance(error, kind):
            return code
    return errno.errorcode.get(error.errno or 0, "connection_failed").lower()


def _tls_context(plan: LoadPlan) -> ssl.SSLContext:
    if plan.certificate is None:
        return ssl.create_default_context()
    return pinned_context(Path(plan.certificate))
