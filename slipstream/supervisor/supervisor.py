"""The parent's life: look after the children until told to stop, then drain them in order."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gateway.broker.bell import Bell
from slipstream.announcer import Announcer
from slipstream.settings import log_level
from slipstream.supervisor.gateways import GatewayWatcher
from slipstream.supervisor.houses import Houses
from slipstream.supervisor.keeper import Keeper
from slipstream.supervisor.launch import Launch
from slipstream.supervisor.nursery import Nursery
from slipstream.supervisor.spawner import Source
from slipstream.supervisor.workers import Workers

if TYPE_CHECKING:  # it takes a second or two to import, and the loop runs meanwhile
    from slipstream.supervisor.installation import Installation

_MARGIN_SECONDS = 2.0
"""What a process needs beyond its calls to notice the signal and to exit."""
_HAND_BACK_SECONDS = 4.0
"""What a worker needs beyond its calls to hand back the runs that go on for longer."""


def supervise(launched: Launch, announcer: Announcer, *, demo: bool) -> None:
    """Run until a signal says to stop.

    Raises:
        UnusableError, StorageError: it cannot be run here; everything has been stopped again.
    """
    try:
        asyncio.run(Supervisor(launched, announcer, demo=demo).run())
    finally:
        launched.release()


class Supervisor:
    """Runs the gateways, and with them what the database asks for."""

    def __init__(self, launched: Launch, announcer: Announcer, *, demo: bool) -> None:
        self._launched = launched
        self._announcer = announcer
        self._demo = demo
        self._installation: Installation | None = None

    async def run(self) -> None:
        """Serve until the first signal, drain until done or until the second."""
        loop, stop, hurry = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
        self._launched.signals.attach(loop, drain=stop, kill=hurry)
        watcher = GatewayWatcher(self._launched.gateways, self._announcer)
        gateways = Keeper(self._launched.spawn_gateway, watcher, running=self._launched.gateways)
        gateways.want(dict.fromkeys(self._launched.gateways, 1))
        workers = self._workers()
        source = self._source()
        duties = asyncio.gather(
            gateways.run(),
            source.run(),
            workers.run(),
            watcher.ready(),
            self._serve(watcher, source, workers),
        )
        await _first_of(duties, stop)
        self._announcer.step("slipstream", "stopping", "dim")
        draining = asyncio.create_task(self._drain(gateways, workers, source))
        await _first_of(draining, hurry)
        if hurry.is_set():
            gateways.kill()
            workers.kill()
            source.kill()
            if self._installation:
                self._installation.kill()
        await draining
        self._launched.signals.detach(loop)
        duties.cancel()
        with suppress(asyncio.CancelledError):
            await duties

    def _source(self) -> Source:
        launched = self._launched
        each = launched.options.models_per_process
        if each == 1:
            return Nursery(launched.lifeline, self._announcer, running=launched.fork_server)
        return Houses(launched.lifeline, self._announcer, servers_each=each, log_level=log_level())

    def _workers(self) -> Workers:
        launched = self._launched
        return Workers(
            launched.spawn_worker,
            self._announcer,
            concurrency=launched.options.worker_concurrency,
            bell=Bell(launched.folder.path / "run"),
        )

    async def _serve(self, watcher: GatewayWatcher, source: Source, workers: Workers) -> None:
        kind = await asyncio.to_thread(_import)
        self._installation = kind(self._launched, self._announcer, source, demo=self._demo)
        await self._installation.serve(watcher, workers)

    async def _drain(self, gateways: Keeper, workers: Workers, source: Source) -> None:
        """Stop those who take calls before those who answer them."""
        # Before there is an installation, there are no calls to wait for.
        calls = self._installation.drain_seconds if self._installation else 0.0
        await gateways.drain(calls + _MARGIN_SECONDS)
        await workers.drain(calls + _HAND_BACK_SECONDS + _MARGIN_SECONDS)
        if self._installation:
            await self._installation.drain(calls + _MARGIN_SECONDS)
        await source.drain(_MARGIN_SECONDS)


def _import() -> type[Installation]:
    from slipstream.supervisor.installation import Installation  # noqa: PLC0415

    return Installation


async def _first_of(work: asyncio.Future[Any], event: asyncio.Event) -> None:
    """Return when the work has ended or the event has come; raise nothing of the work's."""
    coming = asyncio.create_task(event.wait())
    await asyncio.wait({work, coming}, return_when=asyncio.FIRST_COMPLETED)
    coming.cancel()
