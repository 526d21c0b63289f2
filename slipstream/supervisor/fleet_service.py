"""What the supervisor does with the database: the first start, and the fleet that rows ask for."""

from __future__ import annotations

import asyncio

from gateway.storage.changes import ChangeFeed
from inference_server import settings
from inference_server.settings import SettingsError
from inference_server.tcp_security import TcpSecurity, TokenFileError
from slipstream.demo.bootstrap import first_start
from slipstream.failures import UnusableError
from slipstream.settings import log_level
from slipstream.status_printer import StatusPrinter
from slipstream.supervisor.fleet import Fleet
from slipstream.supervisor.gateways import GatewayMonitor
from slipstream.supervisor.launch import Launch
from slipstream.supervisor.ready_banner import ReadyBanner
from slipstream.supervisor.spawner import Spawner
from slipstream.supervisor.workers import ManagedWorker
from slipstream.workspace import open_workspace, read_settings
from telemetry import logs
from transport import TlsError


class FleetService:
    """One state folder and its database, looked after by the one supervisor that runs on it."""

    def __init__(
        self, launched: Launch, printer: StatusPrinter, spawner: Spawner, *, demo: bool
    ) -> None:
        """Read the settings; raise UnusableError where they make no sense."""
        options = launched.options
        self._settings = read_settings(
            host=options.host,
            port=options.port,
            grpc_port=options.grpc_port,
            state=options.state,
            workers=options.workers,
            log_level=log_level(),
        )
        logs.configure(self._settings.log_level, process="supervisor")
        _check_servers()
        self._launched = launched
        self._printer = printer
        self._spawner = spawner
        self._demo = demo
        self._fleet: Fleet | None = None

    @property
    def drain_seconds(self) -> float:
        """How long calls in flight may go on."""
        return self._settings.drain_seconds

    async def serve(self, gateways: GatewayMonitor, workers: ManagedWorker) -> None:
        """Make what a first start makes, then look after the inference servers until cancelled.

        Raises:
            StorageError: the database cannot be used.
        """
        banner = ReadyBanner(self._launched.options, self._printer, workers)
        try:
            async with open_workspace(self._settings) as workspace:
                await workspace.services.fleet.store.mark_all_stopped()
                banner.demo = await first_start(workspace, self._printer, demo=self._demo)
                feed = ChangeFeed(workspace.db)
                fleet = self._fleet = Fleet(
                    store=workspace.services.fleet.store,
                    feed=feed,
                    settings=self._settings,
                    sockets=self._launched.folder.sockets,
                    spawner=self._spawner,
                    printer=self._printer,
                )
                feed.start()
                try:
                    await asyncio.gather(fleet.run(), banner.print_when_ready(gateways, fleet))
                finally:
                    await feed.stop()
        finally:
            banner.print_unshown_key()

    async def drain(self, grace: float) -> None:
        """Let every inference server finish its calls and go."""
        if self._fleet:
            await self._fleet.drain(grace)

    def kill(self) -> None:
        """End every inference server at once."""
        if self._fleet:
            self._fleet.kill()


def _check_servers() -> None:
    """Say once what each inference server would say of the ports that it is to open."""
    needed = ["--store", ".", "--model", "any", "--version", "1", "--socket", "any"]
    try:
        TcpSecurity.from_settings(settings.check(needed))
    except (SettingsError, TlsError, TokenFileError) as error:
        message = (
            f"inference servers, by the SLIPSTREAM_INFERENCE_… variables of these names: {error}"
        )
        raise UnusableError(message) from None
