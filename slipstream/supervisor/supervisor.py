"""The parent's life: look after the children until told to stop, then drain them in order."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gateway.broker.wake_file import WakeFile
from slipstream.settings import log_level
from slipstream.status_printer import StatusPrinter
from slipstream.supervisor.fork_server_spawner import ForkServerSpawner
from slipstream.supervisor.gateways import GatewayMonitor
from slipstream.supervisor.launch import Launch
from slipstream.supervisor.process_manager import ProcessManager
from slipstream.supervisor.shared_process import SharedProcessPool
from slipstream.supervisor.spawner import Source
from slipstream.supervisor.workers import ManagedWorker

if TYPE_CHECKING:  # it takes a second or two to import, and the loop runs meanwhile
    from slipstream.supervisor.fleet_service import FleetService

_MARGIN_SECONDS = 2.0
"""What a process needs beyond its calls to notice the signal and to exit."""
_HAND_BACK_SECONDS = 4.0
"""What a worker needs beyond its calls to hand back the runs that go on for longer."""


def supervise(launched: Launch, printer: StatusPrinter, *, demo: bool) -> None:
    """Run until a signal says to stop.

    Raises:
        UnusableError, StorageError: it cannot be run here; everything has been stopped again.
    """
    try:
        asyncio.run(Supervisor(launched, printer, demo=demo).run())
    finally:
        launched.release()


class Supervisor:
    """Runs the gateways, and with them what the database asks for."""

    def __init__(self, launched: Launch, printer: StatusPrinter, *, demo: bool) -> None:
        self._launched = launched
        self._printer = printer
        self._demo = demo
        self._fleet_service: FleetService | None = None

    async def run(self) -> None:
        """Serve until the first signal, drain until done or until the second."""
        loop, stop, kill = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
        self._launched.signals.attach(loop, drain=stop, kill=kill)
        watcher = GatewayMonitor(self._launched.gateways, self._printer)
        gateways = ProcessManager(
            self._launched.spawn_gateway, watcher, running=self._launched.gateways
        )
        gateways.set_desired(dict.fromkeys(self._launched.gateways, 1))
        workers = self._workers()
        source = self._source()
        tasks = asyncio.gather(
            gateways.run(),
            source.run(),
            workers.run(),
            watcher.ready(),
            self._serve(watcher, source, workers),
        )
        await _first_of(tasks, stop)
        self._printer.step("slipstream", "stopping", "dim")
        draining = asyncio.create_task(self._drain(gateways, workers, source))
        await _first_of(draining, kill)
        if kill.is_set():
            gateways.kill()
            workers.kill()
            source.kill()
            if self._fleet_service:
                self._fleet_service.kill()
        await draining
        self._launched.signals.detach(loop)
        tasks.cancel()
        with suppress(asyncio.CancelledError):
            await tasks

    def _source(self) -> Source:
        launched = self._launched
        each = launched.options.models_per_process
        if each == 1:
            return ForkServerSpawner(launched.lifeline, self._printer, running=launched.fork_server)
        return SharedProcessPool(
            launched.lifeline, self._printer, servers_per_process=each, log_level=log_level()
        )

    def _workers(self) -> ManagedWorker:
        launched = self._launched
        return ManagedWorker(
            launched.spawn_worker,
            self._printer,
            concurrency=launched.options.worker_concurrency,
            wake_file=WakeFile(launched.folder.path / "run"),
        )

    async def _serve(self, watcher: GatewayMonitor, source: Source, workers: ManagedWorker) -> None:
        kind = await asyncio.to_thread(_import)
        self._fleet_service = kind(self._launched, self._printer, source, demo=self._demo)
        await self._fleet_service.serve(watcher, workers)

    async def _drain(
        self, gateways: ProcessManager, workers: ManagedWorker, source: Source
    ) -> None:
        """Stop those who take calls before those who answer them."""
        # Before there is an installation, there are no calls to wait for.
        calls = self._fleet_service.drain_seconds if self._fleet_service else 0.0
        await gateways.drain(calls + _MARGIN_SECONDS)
        await workers.drain(calls + _HAND_BACK_SECONDS + _MARGIN_SECONDS)
        if self._fleet_service:
            await self._fleet_service.drain(calls + _MARGIN_SECONDS)
        await source.drain(_MARGIN_SECONDS)


def _import() -> type[FleetService]:
    from slipstream.supervisor.fleet_service import FleetService  # noqa: PLC0415

    return FleetService


async def _first_of(work: asyncio.Future[Any], event: asyncio.Event) -> None:
    """Return when the work has ended or the event has come; raise nothing of the work's."""
    coming = asyncio.create_task(event.wait())
    await asyncio.wait({work, coming}, return_when=asyncio.FIRST_COMPLETED)
    coming.cancel()
