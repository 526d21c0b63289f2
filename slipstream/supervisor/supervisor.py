"""Runs the processes of one machine until told to stop, then drains them in order."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gateway.broker.worker_files import WakeFile
from gateway.errors import StorageError
from gateway.fleet.service_process import ProcessKind, SeenProcess, http_address
from gateway.fleet.supervisor_metrics import BootMetrics, SupervisorMetrics
from slipstream.settings import log_level
from slipstream.status_printer import StatusPrinter
from slipstream.supervisor.fork_server_spawner import ForkServerSpawner
from slipstream.supervisor.gateways import GatewayMonitor
from slipstream.supervisor.handover import Handover, PassedProcess
from slipstream.supervisor.launch import Launch
from slipstream.supervisor.log_rotation import LogRotation
from slipstream.supervisor.predecessors import Predecessors
from slipstream.supervisor.process import ChildProcess
from slipstream.supervisor.process_manager import ProcessManager
from slipstream.supervisor.reload_files import (
    ReloadFiles,
    ReloadRequest,
    ReloadState,
    ReloadStatus,
)
from slipstream.supervisor.reloader import ReloadRefusedError, Successor
from slipstream.supervisor.run_together import run_together
from slipstream.supervisor.shared_process import SharedProcessPool
from slipstream.supervisor.signals import run_until_stopped
from slipstream.supervisor.spawner import ServerSpawner
from slipstream.supervisor.worker_manager import HAND_BACK_SECONDS, WorkerManager
from telemetry import garbage_collection, logs
from telemetry.instruments import MAX_SERIES, Registry
from telemetry.logs import logger
from telemetry.snapshots import SharedRegistry

if TYPE_CHECKING:  # takes a second or two to import, while the loop runs
    from slipstream.supervisor.fleet_runner import FleetRunner

_WORKER_SECONDS = 60.0
"""How long an old worker goes on while new ones do not become ready, as without a broker."""
_DATABASE_SECONDS = 2.0
"""Between two attempts to use the database after a reload."""
_MARGIN_SECONDS = 2.0
"""What a process needs beyond its calls to notice the signal and to exit."""


def supervise(launched: Launch, printer: StatusPrinter, *, demo: bool) -> None:
    """Run until a signal says to stop.

    Raises:
        UnusableError, StorageError: it cannot run here; every process has been stopped again.
    """
    logs.configure(
        log_level(launched.options),
        process="supervisor",
        log_format=launched.options.log_format,
        file=launched.log_file,
    )
    log.info("supervisor_started", url=launched.options.url, reload=bool(launched.predecessor))
    try:
        asyncio.run(Supervisor(launched, printer, demo=demo).run())
    finally:
        launched.release()


log = logger("slipstream.supervisor")


class Supervisor:
    """Runs gateways, a worker, and the inference servers that the database asks for.

    After a reload it also looks after what its predecessor ran, until that is replaced.
    """

    def __init__(self, launched: Launch, printer: StatusPrinter, *, demo: bool) -> None:
        self._launched = launched
        self._printer = printer
        self._demo = demo
        self._fleet_runner: FleetRunner | None = None
        self._serving = asyncio.Event()
        self._files = ReloadFiles(launched.folder.path / "run")
        registry = Registry(max_series=MAX_SERIES)
        self._metrics = SupervisorMetrics(registry)
        self._boots = BootMetrics(registry)
        folder = launched.folder.path / "run" / "metrics"
        self._shared = SharedRegistry(registry, folder, f"supervisor-{os.getpid()}")

    async def run(self) -> None:
        """Serve until the first signal, drain until done or until the second."""
        launched = self._launched
        self._shared.start()
        unresponsive_seconds = launched.options.unresponsive_seconds
        before = launched.predecessor
        self._gateway_monitor = GatewayMonitor(
            launched.gateways, self._printer, replacing=before is not None
        )
        self._gateways = ProcessManager(
            self._spawn_gateway,
            self._gateway_monitor,
            running=launched.gateways,
            count_exit=self._metrics.exit_counter("gateway"),
            unresponsive_seconds=unresponsive_seconds,
        )
        self._gateways.set_desired(dict.fromkeys(launched.gateways, 1))
        self._old_gateways, self._old_workers = (
            Predecessors(
                passed,
                self._printer,
                unresponsive_seconds=unresponsive_seconds,
                count_exit=self._metrics.exit_counter(kind),
            )
            for kind, passed in (
                ("gateway", before.gateways if before else ()),
                ("worker", before.workers if before else ()),
            )
        )
        self._workers = self._worker_manager()
        self._spawner = self._server_spawner()
        work = run_together(
            self._gateways.run(),
            self._old_gateways.run(),
            self._old_workers.run(),
            self._spawner.run(),
            self._workers.run(),
            self._gateway_monitor.ready(),
            self._serve(),
            self._follow_reloads(),
            self._keep_log_small(),
        )
        try:
            await run_until_stopped(work, launched.signals, drain=self._drain, kill=self._kill)
        finally:
            await self._shared.close()

    async def _spawn_gateway(self, name: str) -> ChildProcess:
        """Start a gateway. While another one answers, it takes no connections before it can."""
        others_ready = self._gateway_monitor.others_ready(name)
        return self._launched.spawn_gateway(accept_when_ready=others_ready)

    def _server_spawner(self) -> ServerSpawner:
        launched, options = self._launched, self._launched.options
        servers_per_process = options.models_per_process
        if servers_per_process == 1:
            return ForkServerSpawner(
                launched.lifeline,
                self._printer,
                running=launched.fork_server,
                count_exit=self._metrics.exit_counter("fork_server"),
            )
        return SharedProcessPool(
            launched.lifeline,
            self._printer,
            servers_per_process=servers_per_process,
            log_options=(
                *("--log-level", log_level(options)),
                *("--log-format", options.log_format),
                *(("--log-file", str(launched.log_file)) if launched.log_file else ()),
            ),
        )

    def _worker_manager(self) -> WorkerManager:
        launched = self._launched
        return WorkerManager(
            launched.spawn_worker,
            self._printer,
            concurrency=launched.options.worker_concurrency,
            wake_file=WakeFile(launched.folder.path / "run"),
            metrics=self._metrics,
            idle_seconds=launched.options.worker_idle_seconds,
            unresponsive_seconds=launched.options.unresponsive_seconds,
        )

    async def _keep_log_small(self) -> None:
        if file := self._launched.log_file:
            await LogRotation(file, self._launched.options.log_file_bytes).run()

    async def _serve(self) -> None:
        kind = await asyncio.to_thread(_import)
        garbage_collection.resume()
        self._fleet_runner = kind(
            self._launched,
            self._printer,
            self._spawner,
            self._boots,
            self._metrics.exit_counter("inference_server"),
            demo=self._demo,
        )
        self._serving.set()
        while True:
            try:
                await self._fleet_runner.serve(
                    self._gateway_monitor, self._workers, self._processes
                )
            except StorageError as error:
                # What a predecessor has started goes on, and so does this: another reload may help.
                before = self._launched.predecessor
                if before is None or not self._fleet_runner.adopts:
                    raise
                self._printer.step("slipstream", str(error), "bold red")
                self._report(before.reload_id, ReloadState.FAILED, str(error))
                await asyncio.sleep(_DATABASE_SECONDS)

    def _processes(self) -> list[SeenProcess]:
        """Return what this machine runs beside inference servers."""
        options = self._launched.options
        has_tls = options.tls_certificate is not None
        address = http_address(options.host, options.port, tls=has_tls)
        found = self._workers.processes()
        for kind, statuses, at in (
            (ProcessKind.GATEWAY, self._gateways.statuses, address),
            (ProcessKind.GATEWAY, self._old_gateways.statuses, address),
            (ProcessKind.WORKER, self._old_workers.statuses, None),
        ):
            found += [
                SeenProcess(
                    kind=kind,
                    name=name,
                    state=status.state,
                    reason=status.reason,
                    pid=status.pid,
                    address=at,
                )
                for name, status in statuses.items()
            ]
        return found

    # reloads

    async def _follow_reloads(self) -> None:
        """Finish the reload that this program comes from, and reload on each SIGHUP."""
        await self._serving.wait()
        assert self._fleet_runner is not None
        before = self._launched.predecessor
        if before is None:  # else it passes on what it was passed
            await self._fleet_runner.started()
        finishing = asyncio.create_task(self._finish(before)) if before else None
        signals = self._launched.signals
        while True:
            await signals.reload.wait()
            signals.reload.clear()
            request = self._files.take_request()
            try:
                await self._reload(self._fleet_runner, request, finishing)
            except ReloadRefusedError as error:
                self._printer.step("slipstream", f"not reloaded: {error}", "bold red")
                self._report(request.id, ReloadState.FAILED, str(error))

    async def _reload(
        self,
        fleet_runner: FleetRunner,
        request: ReloadRequest,
        finishing: asyncio.Task[None] | None,
    ) -> None:
        """Become the new program, unless it refuses to run, or this one is to stop."""
        launched = self._launched
        self._printer.step("slipstream", "reloading", "dim")
        self._report(request.id, ReloadState.CHECKING)
        successor = Successor(request)
        await successor.check(launched.options)
        if launched.signals.count:
            return
        launched.signals.hold()
        if finishing is not None:
            finishing.cancel()
            await asyncio.gather(finishing, return_exceptions=True)
        servers, socket_numbers = await fleet_runner.detach()
        shared_processes = await self._spawner.detach()
        if fleet_runner.adopts and launched.predecessor:
            shared_processes = launched.predecessor.shared_processes
        gateways = [
            *await self._old_gateways.detach(),
            *_passed({key: child for key, (child, _) in (await self._gateways.detach()).items()}),
        ]
        workers = [*await self._old_workers.detach(), *_passed(await self._workers.detach())]
        with suppress(OSError):
            await asyncio.to_thread(self._shared.publish)  # its successor goes on from there
        successor.exec(
            Handover(
                reload_id=request.id,
                lifeline_fds=launched.lifeline.descriptors,
                lock_fd=launched.folder.lock_fd,
                sockets=str(launched.folder.sockets),
                socket_numbers=socket_numbers,
                rest_fd=launched.rest.fileno(),
                grpc_fd=launched.grpc.fileno(),
                signals=launched.signals.count,
                gateways=gateways,
                workers=workers,
                servers=servers,
                shared_processes=shared_processes,
            ),
            launched.signals.passed_on(),
        )

    async def _finish(self, before: Handover) -> None:
        """Replace what the predecessor ran; a bug in that must not end what runs."""
        try:
            await self._replace(before)
        except Exception:
            log.exception("reload_not_finished")
            message = "processes of the old version go on; the log has the details"
            self._report(before.reload_id, ReloadState.FAILED, message)

    async def _replace(self, before: Handover) -> None:
        """End what the predecessor ran, each part when its successor is ready."""
        assert self._fleet_runner is not None
        self._report(before.reload_id, ReloadState.REPLACING)
        calls = self._fleet_runner.drain_seconds + HAND_BACK_SECONDS + _MARGIN_SECONDS
        await self._gateways_replaced(before)
        await self._old_gateways.drain(calls)
        await self._fleet_runner.announced()
        if self._launched.options.worker_concurrency:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._workers.ready(), _WORKER_SECONDS)
        await self._old_workers.drain(calls)
        await self._fleet_runner.replace_servers()
        self._printer.step("slipstream", f"reloaded, at {self._launched.options.url}", "bold green")
        self._report(before.reload_id, ReloadState.DONE)

    async def _gateways_replaced(self, before: Handover) -> None:
        """Return when the new gateways are ready; report if one cannot start."""
        ready = asyncio.create_task(self._gateway_monitor.ready())
        failure = self._gateway_monitor.failure
        waiting: set[asyncio.Future[Any]] = {ready, failure}  # Any: None or a message
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            message = f"{failure.result()}; the old gateways go on until new ones are ready"
            self._report(before.reload_id, ReloadState.FAILED, message)
        await ready

    def _report(self, reload_id: str, state: ReloadState, message: str = "") -> None:
        self._files.report(ReloadStatus(id=reload_id, state=state, message=message))

    async def _drain(self) -> None:
        """Stop the processes that take calls before those that answer them."""
        self._printer.step("slipstream", "stopping", "dim")
        log.info("supervisor_stopping")
        # Before there is a fleet runner, there are no calls to wait for.
        calls = self._fleet_runner.drain_seconds if self._fleet_runner else 0.0
        runs = calls + HAND_BACK_SECONDS + _MARGIN_SECONDS
        if self._fleet_runner:
            self._fleet_runner.stop_claiming()
            await self._announce_stop(self._fleet_runner.drain_delay)
        self._launched.stop_listening()
        await asyncio.gather(self._gateways.drain(runs), self._old_gateways.drain(runs))
        await asyncio.gather(self._workers.drain(runs), self._old_workers.drain(runs))
        if self._fleet_runner:
            await self._fleet_runner.drain(calls + _MARGIN_SECONDS)
        await self._spawner.drain(_MARGIN_SECONDS)

    async def _announce_stop(self, seconds: float) -> None:
        """Have the gateways say that they drain, and wait until load balancers know."""
        self._gateways.announce_stop()
        signals = self._launched.signals
        if seconds and signals.count and self._gateway_monitor.answers:
            text = f"/readyz says draining; the ports close in {seconds:g} s, at a signal at once"
            self._printer.step("slipstream", text, "dim")
            await signals.wait(seconds)

    def _kill(self) -> None:
        self._gateways.kill()
        self._old_gateways.kill()
        self._workers.kill()
        self._old_workers.kill()
        self._spawner.kill()
        if self._fleet_runner:
            self._fleet_runner.kill()


def _passed(children: Mapping[str, ChildProcess]) -> list[PassedProcess]:
    return [
        PassedProcess(
            key=key, pid=child.pid, status_fd=child.status_fd, started_at=child.started_at
        )
        for key, child in children.items()
    ]


def _import() -> type[FleetRunner]:
    from slipstream.supervisor.fleet_runner import FleetRunner  # noqa: PLC0415

    return FleetRunner
