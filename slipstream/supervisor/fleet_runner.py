"""The part of the supervisor that needs the database."""

from __future__ import annotations

from gateway.storage.changes import ChangeFeed
from inference_server import settings
from inference_server.tcp_security import TcpSecurity
from slipstream.demo.bootstrap import first_start, newest_call
from slipstream.failures import UnusableError
from slipstream.settings import log_level
from slipstream.status_printer import StatusPrinter
from slipstream.supervisor.fleet import Fleet
from slipstream.supervisor.gateways import GatewayMonitor
from slipstream.supervisor.launch import Launch
from slipstream.supervisor.ready_banner import ReadyBanner
from slipstream.supervisor.run_together import run_together
from slipstream.supervisor.spawner import ServerSpawner
from slipstream.supervisor.worker_manager import WorkerManager
from slipstream.workspace import broker_of, open_workspace, read_settings
from telemetry import logs
from telemetry.options import OptionsError
from transport import TlsError
from transport.bearer_tokens import TokenFileError


class FleetRunner:
    """Creates what a first start creates, then runs the inference servers of the database."""

    def __init__(
        self, launched: Launch, printer: StatusPrinter, spawner: ServerSpawner, *, demo: bool
    ) -> None:
        """Read the settings; raise UnusableError if they are invalid."""
        options = launched.options
        self._settings = read_settings(
            host=options.host,
            port=options.port,
            grpc_port=options.grpc_port,
            state=options.state,
            workers=options.workers,
            log_level=log_level(options),
            log_format=options.log_format,
            unresponsive_seconds=options.unresponsive_seconds,
        )
        logs.configure(
            self._settings.log_level, process="supervisor", log_format=options.log_format
        )
        _check_servers()
        self._launched = launched
        self._printer = printer
        self._spawner = spawner
        self._demo = demo
        self._fleet: Fleet | None = None

    @property
    def drain_seconds(self) -> float:
        """How long calls in flight may go on while everything drains."""
        return self._settings.drain_seconds

    async def serve(self, gateways: GatewayMonitor, workers: WorkerManager) -> None:
        """Create what a first start creates, then run the inference servers until cancelled.

        Raises:
            StorageError: the database cannot be used.
        """
        banner = ReadyBanner(self._launched.options, self._printer)
        try:
            async with open_workspace(self._settings) as workspace:
                await workspace.services.fleet.store.mark_all_stopped()
                banner.demo = await first_start(workspace, self._printer, demo=self._demo)
                banner.newest_call = await newest_call(workspace)
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
                    await run_together(
                        fleet.run(), self._announce_when_ready(banner, gateways, fleet, workers)
                    )
                finally:
                    await feed.stop()
        finally:
            banner.print_unshown_key()

    async def _announce_when_ready(
        self, banner: ReadyBanner, gateways: GatewayMonitor, fleet: Fleet, workers: WorkerManager
    ) -> None:
        await gateways.ready()
        await fleet.settled()
        readiness = await banner.wait_until_ready()
        # Last, so that nothing else waits for the second of processor time that they need.
        workers.start(delivers_on_demand=broker_of(self._settings).delivers_on_demand)
        banner.print(readiness)

    async def drain(self, grace: float) -> None:
        """Let every inference server finish its calls and exit."""
        if self._fleet:
            await self._fleet.drain(grace)

    def kill(self) -> None:
        """End every inference server at once."""
        if self._fleet:
            self._fleet.kill()


def _check_servers() -> None:
    """Report once what every inference server would report about its ports and certificates."""
    needed = ["--store", ".", "--model", "any", "--version", "1", "--socket", "any"]
    try:
        TcpSecurity.from_settings(settings.check(needed))
    except (OptionsError, TlsError, TokenFileError) as error:
        message = f"inference servers, set by the SLIPSTREAM_INFERENCE_… variables: {error}"
        raise UnusableError(message) from None
