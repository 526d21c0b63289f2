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
import math
import random
import sys
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

import orjson
import uvloop

from benchmarks.tally import Tally
from benchmarks.wire import Answer, FramingError, Reader

_SEED = 11
_TIMER_SECONDS = 0.002
_OPENING_AT_ONCE = 16
"""A crowd of new connections would be a load of its own."""
_STALE_SECONDS = 4.0
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
    """All are opened, and called once, before the time begins: servers accept slowly under load."""
    ramp: float
    """Not measured, before the first window."""
    windows: int
    window: float
    deadline: float
    """A later 200 is of no use to the caller."""


class Connection(asyncio.Protocol):
    """A keep-alive connection with one call in flight at most."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._reader = Reader()
        self._transport: asyncio.Transport
        self.began: float | None = None
        """Since when the call in flight counts; None: there is none."""
        self.idle_since = 0.0
        self.warm = asyncio.Event()
        """Set when its first call has ended."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Make its first call."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own is no subclass
        self._load.opened(self, time.perf_counter())

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
            self.warm.set()
            self._load.answered(answer, now - began, now)
            self._load.freed(self, now)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        """Whatever was in flight is lost."""
        self.warm.set()
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
        self._free: deque[Connection] = deque()
        self._busy: set[Connection] = set()
        self._due: deque[float] = deque()
        self._freed = asyncio.Event()
        self._open = 0
        self._opening: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(_OPENING_AT_ONCE)
        self._started = False
        self._start = self._end = math.inf
        # the ramp, the windows, and what is answered after the last one
        self._windows = [Tally() for _ in range(plan.windows + 2)]

    async def run(self) -> None:
        """Do it all, printing as windows end."""
        await asyncio.gather(*(self._connect() for _ in range(self._plan.connections)))
        began, cpu = time.perf_counter(), time.process_time()
        self._start = began + self._plan.ramp
        self._end = self._start + self._plan.windows * self._plan.window
        closing = asyncio.create_task(self._print_windows())
        self._started = True
        if self._plan.rate:
            await self._by_the_clock(self._plan.rate)
        else:
            while self._free:
                self._send(self._free.popleft(), began, began)
        await asyncio.sleep(max(0.0, self._end - time.perf_counter()))
        await self._wait_for_the_rest()
        await closing
        self._print_whole()
        cores = (time.process_time() - cpu) / (time.perf_counter() - began)
        print(orjson.dumps({"name": "generator", "cores": cores}).decode())

    def opened(self, connection: Connection, now: float) -> None:
        """Call a new connection once, for what is due or else just so."""
        self._send(connection, self._due.popleft() if self._due else now, now)

    def freed(self, connection: Connection, now: float) -> None:
        """A connection can be used: for what is due, or again in a closed loop."""
        self._busy.discard(connection)
        self._freed.set()
        if self._plan.rate is None and self._started:
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
        self._window(now).answer(answer, took, self._plan.deadline)

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
        self._window(now).offer(now - due)
        while self._free:
            connection = self._free.popleft()
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
        if self._open + opening < self._plan.connections:
            task = asyncio.create_task(self._connect())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        async with self._room:
            try:
                _, connection = await loop.create_connection(
                    lambda: Connection(self), "127.0.0.1", self._plan.port
                )
            except OSError:
                self._window(time.perf_counter()).counts["broken"] += 1
            else:
                self._open += 1
                await connection.warm.wait()

    async def _wait_for_the_rest(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._plan.deadline + _PATIENCE_SECONDS):
                while self._busy or self._due:
                    self._freed.clear()
                    await self._freed.wait()
        self._windows[-1].counts["broken"] += len(self._busy)

    def _window(self, now: float) -> Tally:
        if now < self._start:
            return self._windows[0]
        place = int((now - self._start) // self._plan.window) + 1
        return self._windows[min(place, len(self._windows) - 1)]

    async def _print_windows(self) -> None:
        """Print each window when it has ended, from a thread: sorting must not hold up a call."""
        for place, window in enumerate(self._windows[:-1]):
            ends = self._start + place * self._plan.window
            while (seconds := ends - time.perf_counter()) > 0:  # noqa: ASYNC110 - timers may be early
                await asyncio.sleep(seconds)
            name = str(place) if place else "ramp"
            print(await asyncio.to_thread(window.line, name), flush=True)

    def _print_whole(self) -> None:
        whole = Tally()
        for window in self._windows[1:]:
            whole.add(window)
        print(self._windows[-1].line("rest"))
        print(whole.line("whole"))


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
