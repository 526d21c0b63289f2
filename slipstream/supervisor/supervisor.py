"""The parent's life: look after the gateways and the fleet until told to stop, then drain."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from gateway.settings import Settings
from gateway.storage.changes import ChangeFeed
from slipstream.announcer import Announcer
from slipstream.demo.bootstrap import first_start
from slipstream.settings import log_level
from slipstream.supervisor.fleet import Fleet
from slipstream.supervisor.gateways import GatewayWatcher
from slipstream.supervisor.keeper import Keeper
from slipstream.supervisor.launch import Launch
from slipstream.supervisor.welcome import Welcome
from slipstream.workspace import open_workspace, read_settings
from telemetry import logs

_MARGIN_SECONDS = 2.0
"""What a process needs beyond its calls to notice the signal and to exit."""


def supervise(launched: Launch, announcer: Announcer, *, demo: bool) -> None:
    """Run until a signal says to stop.

    Raises:
        UnusableError, StorageError: it cannot be run here; everything has been stopped again.
    """
    try:
        options = launched.options
        settings = read_settings(
            host=options.host,
            port=options.port,
            grpc_port=options.grpc_port,
            state=options.state,
            workers=options.workers,
            log_level=log_level(),
        )
        logs.configure(settings.log_level, process="supervisor")
        asyncio.run(Supervisor(launched, settings, announcer, demo=demo).run())
    finally:
        launched.release()


class Supervisor:
    """The one composition of what `up` runs."""

    def __init__(
        self, launched: Launch, settings: Settings, announcer: Announcer, *, demo: bool
    ) -> None:
        self._launched = launched
        self._settings = settings
        self._announcer = announcer
        self._demo = demo
        self._welcome = Welcome(launched.options, announcer)
        self._fleet: Fleet | None = None

    async def run(self) -> None:
        """Serve until the first signal, drain until done or until the second."""
        stop, hurry = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()
        self._launched.signals.attach(loop, drain=stop, kill=hurry)
        watcher = GatewayWatcher(self._launched.gateways, self._announcer)
        gateways = Keeper(self._launched.spawn_gateway, watcher, running=self._launched.gateways)
        gateways.want(dict.fromkeys(self._launched.gateways, 1))
        duties = asyncio.gather(gateways.run(), watcher.ready(), self._serve(watcher))
        await _first_of(duties, stop)
        self._announcer.step("slipstream", "stopping", "dim")
        draining = asyncio.create_task(self._drain(gateways))
        await _first_of(draining, hurry)
        if hurry.is_set():
            gateways.kill()
            if self._fleet:
                self._fleet.kill()
        await draining
        self._welcome.last_chance()
        self._launched.signals.detach(loop)
        duties.cancel()
        with suppress(asyncio.CancelledError):
            await duties

    async def _serve(self, watcher: GatewayWatcher) -> None:
        async with open_workspace(self._settings) as workspace:
            await workspace.fleet.store.forget_processes()
            self._welcome.demo = await first_start(workspace, self._announcer, demo=self._demo)
            feed = ChangeFeed(workspace.db)
            fleet = self._fleet = Fleet(
                store=workspace.fleet.store,
                feed=feed,
                settings=self._settings,
                sockets=self._launched.folder.sockets,
                lifeline=self._launched.lifeline,
                announcer=self._announcer,
            )
            feed.start()
            try:
                await asyncio.gather(fleet.run(), self._welcome.when_ready(watcher, fleet))
            finally:
                await feed.stop()

    async def _drain(self, gateways: Keeper) -> None:
        """Stop those who take calls before those who answer them."""
        grace = self._settings.drain_seconds + _MARGIN_SECONDS
        await gateways.drain(grace)
        if self._fleet:
            await self._fleet.drain(grace)


async def _first_of(work: asyncio.Future[Any], event: asyncio.Event) -> None:
    """Return when the work has ended or the event has come; raise nothing of the work's."""
    coming = asyncio.create_task(event.wait())
    await asyncio.wait({work, coming}, return_when=asyncio.FIRST_COMPLETED)
    coming.cancel()
