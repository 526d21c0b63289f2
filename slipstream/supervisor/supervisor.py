"""Runs the processes of one machine until told to stop, then drains them in order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.broker.worker_files import WakeFile
from slipstream.settings import log_level
from slipstream.status_printer import StatusPrinter
from slipstream.supervisor.fork_server_spawner import ForkServerSpawner
from slipstream.supervisor.gateways import GatewayMonitor
from slipstream.supervisor.launch import Launch
from slipstream.supervisor.process import ChildProcess
from slipstream.supervisor.process_manager import ProcessManager
from slipstream.supervisor.run_together import run_together
from slipstream.supervisor.shared_process import SharedProcessPool
from slipstream.supervisor.signals import run_until_stopped
from slipstream.supervisor.spawner import ServerSpawner
from slipstream.supervisor.worker_manager import HAND_BACK_SECONDS, WorkerManager
from telemetry import garbage_collection

if TYPE_CHECKING:  # takes a second or two to import, while the loop runs
    from slipstream.supervisor.fleet_runner import FleetRunner

_MARGIN_SECONDS = 2.0
"""What a process needs beyond its calls to notice the signal and to exit."""


def supervise(launched: Launch, printer: StatusPrinter, *, demo: bool) -> None:
    """Run until a signal says to stop.

    Raises:
        UnusableError, StorageError: it cannot run here; every process has been stopped again.
    """
    try:
        asyncio.run(Supervisor(launched, printer, demo=demo).run())
    finally:
        launched.release()


class Supervisor:
    """Runs gateways, queue workers, and the inference servers that the database asks for."""

    def __init__(self, launched: Launch, printer: StatusPrinter, *, demo: bool) -> None:
        self._launched = launched
        self._printer = printer
        self._demo = demo
        self._fleet_runner: FleetRunner | None = None

    async def run(self) -> None:
        """Serve until the first signal, drain until done or until the second."""
        launched = self._launched
        self._gateway_monitor = GatewayMonitor(launched.gateways, self._printer)
        self._gateways = ProcessManager(
            self._spawn_gateway,
            self._gateway_monitor,
            running=launched.gateways,
            unresponsive_seconds=launched.options.unresponsive_seconds,
        )
        self._gateways.set_desired(dict.fromkeys(launched.gateways, 1))
        self._workers = self._worker_manager()
        self._spawner = self._server_spawner()
        work = run_together(
            self._gateways.run(),
            self._spawner.run(),
            self._workers.run(),
            self._gateway_monitor.ready(),
            self._serve(),
        )
        await run_until_stopped(work, launched.signals, drain=self._drain, kill=self._kill)

    async def _spawn_gateway(self, name: str) -> ChildProcess:
        """Start a gateway. While another one answers, it takes no connections before it can."""
        others_ready = self._gateway_monitor.others_ready(name)
        return self._launched.spawn_gateway(accept_when_ready=others_ready)

    def _server_spawner(self) -> ServerSpawner:
        launched, options = self._launched, self._launched.options
        servers_per_process = options.models_per_process
        if servers_per_process == 1:
            return ForkServerSpawner(launched.lifeline, self._printer, running=launched.fork_server)
        return SharedProcessPool(
            launched.lifeline,
            self._printer,
            servers_per_process=servers_per_process,
            log_options=(
                *("--log-level", log_level(options)),
                *("--log-format", options.log_format),
            ),
        )

    def _worker_manager(self) -> WorkerManager:
        launched = self._launched
        return WorkerManager(
            launched.spawn_queue_worker,
            self._printer,
            concurrency=launched.options.worker_concurrency,
            wake_file=WakeFile(launched.folder.path / "run"),
            idle_seconds=launched.options.worker_idle_seconds,
            unresponsive_seconds=launched.options.unresponsive_seconds,
        )

    async def _serve(self) -> None:
        kind = await asyncio.to_thread(_import)
        garbage_collection.resume()
        self._fleet_runner = kind(self._launched, self._printer, self._spawner, demo=self._demo)
        await self._fleet_runner.serve(self._gateway_monitor, self._workers)

    async def _drain(self) -> None:
        """Stop the processes that take calls before those that answer them."""
        self._printer.step("slipstream", "stopping", "dim")
        # Before there is a fleet runner, there are no calls to wait for.
        calls = self._fleet_runner.drain_seconds if self._fleet_runner else 0.0
        self._launched.stop_listening()
        await self._gateways.drain(calls + HAND_BACK_SECONDS + _MARGIN_SECONDS)
        await self._workers.drain(calls + HAND_BACK_SECONDS + _MARGIN_SECONDS)
        if self._fleet_runner:
            await self._fleet_runner.drain(calls + _MARGIN_SECONDS)
        await self._spawner.drain(_MARGIN_SECONDS)

    def _kill(self) -> None:
        self._gateways.kill()
        self._workers.kill()
        self._spawner.kill()
        if self._fleet_runner:
            self._fleet_runner.kill()


def _import() -> type[FleetRunner]:
    from slipstream.supervisor.fleet_runner import FleetRunner  # noqa: PLC0415

    return FleetRunner
