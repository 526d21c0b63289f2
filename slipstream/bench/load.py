"""A closed loop: a number of callers, each with one call in flight, for some seconds."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time

from slipstream.bench.caller import Caller
from slipstream.bench.plan import Plan
from slipstream.bench.result import Progress, Result, median_of_some, summary
from slipstream.bench.tally import Tally
from transport.certificates import pinned_context

_PAUSE_SECONDS = 0.05
"""Before connecting again after a failure, so that a dead server does not cost a core."""
_TICK_SECONDS = 0.2

_BROKEN = {
    ConnectionRefusedError: "connection_refused",
    ConnectionError: "connection_lost",
    TimeoutError: "connection_timeout",
    socket.gaierror: "unknown_host",
    ssl.SSLError: "tls_failed",
}


class Load:
    """The callers of one plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._tally = Tally()
        self._tls = _tls(plan) if plan.tls else None
        self._callers: set[Caller] = set()
        self._warming = True
        self._began = perf_counter()

    async def run(self, stop: asyncio.Event, watch: Callable[[Progress], None]) -> Result | None:
        """Warm up, measure, and return what was measured.

        `stop` ends it early; None where that was before anything was measured. `watch` is told
        several times a second how it goes.
        """
        tasks = [asyncio.create_task(self._keep_calling()) for _ in range(self._plan.connections)]
        tasks.append(asyncio.create_task(self._tell(watch)))
        try:
            await _pass(self._plan.warmup, stop)
            if stop.is_set():
                return None
            return await self._measure(stop)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _measure(self, stop: asyncio.Event) -> Result:
        self._warming = False
        self._tally.restart()
        self._began, cpu = perf_counter(), process_time()
        await _pass(self._plan.seconds, stop)
        now = perf_counter()
        return summary(
            self._tally,
            connections=self._plan.connections,
            seconds=now - self._began,
            waits=[now - caller.began for caller in self._callers if caller.began is not None],
            cpu_seconds=process_time() - cpu,
        )

    async def _keep_calling(self) -> None:
        """Connect, and connect again whenever the connection is gone."""
        while True:
            try:
                good = await self._connection()
            except OSError as error:
                good = False
                self._tally.broken(_code(error))
            if not good:
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _connection(self) -> bool:
        """Call over one connection until it is gone; whether no call was lost."""
        loop = asyncio.get_running_loop()
        lost: asyncio.Future[None] = loop.create_future()
        _, caller = await loop.create_connection(
            lambda: Caller(self._plan.request, self._tally, lost),
            self._plan.host,
            self._plan.port,
            ssl=self._tls,
        )
        self._callers.add(caller)
        try:
            await lost
        except asyncio.CancelledError:
            caller.hang_up()
            raise
        finally:
            self._callers.remove(caller)
        return caller.good

    async def _tell(self, watch: Callable[[Progress], None]) -> None:
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            progress = Progress(
                warming_up=self._warming,
                seconds=perf_counter() - self._began,
                answered=len(self._tally.latencies),
                failed=self._tally.failures.total(),
                p50_seconds=median_of_some(self._tally.latencies),
            )
            watch(progress)


async def _pass(seconds: float, stop: asyncio.Event) -> None:
    """Let the time pass, or less where the load is stopped."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return


def _code(error: OSError) -> str:
    for kind, code in _BROKEN.items():
        if isinstance(error, kind):
            return code
    return errno.errorcode.get(error.errno or 0, "connection_failed").lower()


def _tls(plan: Plan) -> ssl.SSLContext:
    if plan.certificate is None:
        return ssl.create_default_context()
    return pinned_context(Path(plan.certificate))
