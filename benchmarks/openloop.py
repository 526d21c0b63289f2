"""The generator's process: calls by the clock, whatever the server does, or in a closed loop.

    echo PLAN | python -m benchmarks.openloop        (started by benchmarks.offered)

The plan is JSON, as is each line that it prints: one for each window of time, the last for all.
By the clock, calls are due at Poisson's times, and a call's time counts from when it was due: a
generator or a server that falls behind does not hide it. The loop's timers are a millisecond
coarse, so a send that is at most so late counts from when it was sent.
"""

from __future__ import annotations

import asyncio
import gc
import random
import sys
import time
from array import array
from collections import Counter, deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import orjson
import uvloop

from benchmarks.wire import Answer, FramingError, Reader

PERCENTILES = (50, 90, 99, 99.9, 100)

_SEED = 11
_TIMER_SECONDS = 0.002
_FIRST_CONNECTIONS = 64
_OPENING_AT_ONCE = 16
"""A crowd of new connections would be a load of its own."""
_STALE_SECONDS = 3.0
"""A connection unused for longer is given up: servers close them after five."""
_PATIENCE_SECONDS = 5.0
"""How long past the deadline answers are waited for at the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do; times in seconds."""

    port: int
    requests: list[str]
    """Asked in turn; bytes as Latin-1."""
    rate: float | None
    """Calls a second by the clock. None: each connection asks again when it has its answer."""
    connections: int
    """By the clock the most that are opened."""
    ramp: float
    """Not measured, before the first window."""
    windows: int
    window: float
    deadline: float
    """A later 200 is of no use to the caller."""


@dataclass(slots=True)
class Window:
    """What happened in one window of time. Arrays are of seconds."""

    offered: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    latency: array[float] = field(default_factory=lambda: array("d"))
    """Of the calls that were answered with 200."""
    lateness: array[float] = field(default_factory=lambda: array("d"))
    """By which the generator was late to notice that a call was due."""

    def document(self, name: str) -> bytes:
        """Return the line that is printed of it; times in microseconds."""
        told = {"name": name, "offered": self.offered, "counts": self.counts}
        times = {"latency": percentiles(self.latency), "lateness": percentiles(self.lateness)}
        return orjson.dumps(told | times, option=orjson.OPT_NON_STR_KEYS)


def percentiles(seconds: array[float]) -> list[tuple[float, float]]:
    """Return (percentile, microseconds), rising; nothing for no times."""
    if not seconds:
        return []
    points = np.percentile(np.frombuffer(seconds), PERCENTILES) * 1e6
    return list(zip(PERCENTILES, map(float, points), strict=True))


class Connection(asyncio.Protocol):
    """A keep-alive connection with one call in flight at most."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._reader = Reader()
        self._transport: asyncio.Transport
        self.began: float | None = None
        """Since when the call in flight counts; None: there is none."""
        self.idle_since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is free."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own is no subclass
        self._load.freed(self, time.perf_counter())

    def data_received(self, data: bytes) -> None:
        """An answer, or a part of one."""
        try:
            answer = self._reader.feed(data)
        except FramingError:
            self._transport.abort()
            return
        if answer is not None and self.began is not None:
            now = time.perf_counter()
            began, self.began = self.began, None
            self._load.answered(answer, now - began, now)
            self._load.freed(self, now)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        """Whatever was in flight is lost."""
        self._load.lost(self)

    def send(self, request: bytes, began: float) -> None:
        """Send a request whose time counts from `began`."""
        self.began = began
        self._transport.write(request)

    def close(self) -> None:
        """Give it up."""
        self._transport.close()


class Load:
    """All connections and all windows."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._requests = [request.encode("latin-1") for request in plan.requests]
        self._asked = 0
        self._free: list[Connection] = []
        self._busy: set[Connection] = set()
        self._due: deque[float] = deque()
        self._freed = asyncio.Event()
        self._open = 0
        self._opening: set[asyncio.Task[None]] = set()
        self._start = time.perf_counter() + plan.ramp
        self._end = self._start + plan.windows * plan.window
        # the ramp, the windows, and what is answered after the last one
        self._windows = [Window() for _ in range(plan.windows + 2)]

    async def run(self) -> None:
        """Do it all, printing as windows end."""
        closing = asyncio.create_task(self._print_windows())
        await asyncio.gather(*(self._connect() for _ in range(self._at_first())))
        if self._plan.rate:
            await self._by_the_clock(self._plan.rate)
        await asyncio.sleep(max(0.0, self._end - time.perf_counter()))
        await self._wait_for_the_rest()
        await closing
        self._print_whole()

    def freed(self, connection: Connection, now: float) -> None:
        """A connection can be used: for what is due, or again in a closed loop."""
        self._busy.discard(connection)
        self._freed.set()
        if self._plan.rate is None:
            if now < self._end:
                self._send(connection, now, now)
            return
        while self._due:
            due = self._due.popleft()
            if now - due < self._plan.deadline:
                self._send(connection, due, now)
                return
            self._window(now).counts["unsent"] += 1
        connection.idle_since = now
        self._free.append(connection)

    def answered(self, answer: Answer, took: float, now: float) -> None:
        """Count an answer."""
        window = self._window(now)
        if answer.status == 200:
            window.latency.append(took)
        window.counts[self._kind(answer, took)] += 1

    def lost(self, connection: Connection) -> None:
        """Count what was in flight, and open another one when the next call needs it."""
        self._open -= 1
        if connection.began is not None:
            self._busy.discard(connection)
            self._freed.set()
            self._window(time.perf_counter()).counts["broken"] += 1
        elif connection in self._free:
            self._free.remove(connection)
        if self._due or self._plan.rate is None:
            self._open_another()

    def _kind(self, answer: Answer, took: float) -> str:
        if answer.status == 200:
            return "good" if took <= self._plan.deadline else "late"
        if answer.status == 429:
            return "refused" if answer.has(b"retry-after") else "refused_bare"
        return "timed_out" if answer.status == 504 else "other"

    def _at_first(self) -> int:
        by_the_clock = min(_FIRST_CONNECTIONS, self._plan.connections)
        return by_the_clock if self._plan.rate else self._plan.connections

    async def _by_the_clock(self, rate: float) -> None:
        gaps = random.Random(_SEED)
        due = time.perf_counter()
        while due < self._end:
            now = time.perf_counter()
            while due <= now:
                self._arrive(due, now)
                due += gaps.expovariate(rate)
            await asyncio.sleep(max(0.0, due - time.perf_counter()))

    def _arrive(self, due: float, now: float) -> None:
        window = self._window(now)
        window.offered += 1
        window.lateness.append(now - due)
        while self._free:
            connection = self._free.pop()
            if now - connection.idle_since < _STALE_SECONDS:
                self._send(connection, due, now)
                return
            connection.close()
        self._due.append(due)
        self._open_another()

    def _send(self, connection: Connection, due: float, now: float) -> None:
        self._busy.add(connection)
        request = self._requests[self._asked % len(self._requests)]
        self._asked += 1
        connection.send(request, now if now - due <= _TIMER_SECONDS else due)

    def _open_another(self) -> None:
        opening = len(self._opening)
        if opening < _OPENING_AT_ONCE and self._open + opening < self._plan.connections:
            task = asyncio.create_task(self._connect())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: Connection(self), "127.0.0.1", self._plan.port)
        except OSError:
            self._window(time.perf_counter()).counts["broken"] += 1
        else:
            self._open += 1

    async def _wait_for_the_rest(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._plan.deadline + _PATIENCE_SECONDS):
                while self._busy or self._due:
                    self._freed.clear()
                    await self._freed.wait()
        self._windows[-1].counts["broken"] += len(self._busy)

    def _window(self, now: float) -> Window:
        place = int((now - self._start) // self._plan.window) + 1
        return self._windows[min(max(place, 0), len(self._windows) - 1)]

    async def _print_windows(self) -> None:
        """Print each window when it has ended, from a thread: sorting must not hold up a call."""
        for place, window in enumerate(self._windows[:-1]):
            ends = self._start + place * self._plan.window
            await asyncio.sleep(max(0.0, ends - time.perf_counter()))
            name = str(place) if place else "ramp"
            line = await asyncio.to_thread(window.document, name)
            print(line.decode(), flush=True)

    def _print_whole(self) -> None:
        whole = Window()
        for window in self._windows[1:]:
            whole.offered += window.offered
            whole.counts += window.counts
            whole.latency.extend(window.latency)
            whole.lateness.extend(window.lateness)
        print(self._windows[-1].document("rest").decode())
        print(whole.document("whole").decode())
        print(orjson.dumps({"name": "generator", "cpu_seconds": time.process_time()}).decode())


async def _run(plan: Plan) -> None:
    await Load(plan).run()


def main() -> None:
    """Read the plan and do it."""
    plan = Plan(**orjson.loads(sys.stdin.buffer.read()))
    gc.disable()  # nothing here goes in circles that matter within one run
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(plan))


if __name__ == "__main__":
    main()
