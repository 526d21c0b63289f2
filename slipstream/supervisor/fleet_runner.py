"""The part of the supervisor that needs the database."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import sqlalchemy as sa

from gateway.accounts.setup import issue_setup_token
from gateway.auth.pepper import pepper_problem
from gateway.deployments.settings import DeploymentStatus, DeploymentType, ExecutionMode
from gateway.fleet.hosts import HostStore
from gateway.fleet.placement import Placement
from gateway.fleet.processes import ProcessAnnouncer, ProcessStore
from gateway.fleet.scaling import Scaling
from gateway.fleet.service_process import SeenProcess
from gateway.fleet.supervisor_metrics import BootMetrics
from gateway.settings import Settings
from gateway.storage.change_feed import ChangeFeed
from gateway.storage.database import Database
from gateway.storage.migrate import read_revision
from gateway.storage.schema_version import newest_revision
from gateway.storage.tables import Deployment, InferenceServer
from inference_server import settings
from inference_server.tcp_security import TcpSecurity
from slipstream.demo.bootstrap import first_start, newest_call
from slipstream.failures import UnusableError
from slipstream.join_token import check_shared
from slipstream.readiness import GatewayReadiness
from slipstream.settings import UpOptions, log_level
from slipstream.status_printer import StatusPrinter
from slipstream.supervisor.fleet import Fleet
from slipstream.supervisor.gateways import GatewayMonitor
from slipstream.supervisor.handover import PassedServer
from slipstream.supervisor.launch import Launch
from slipstream.supervisor.ready_banner import ReadyBanner
from slipstream.supervisor.run_together import run_together
from slipstream.supervisor.spawner import ServerSpawner
from slipstream.supervisor.supervisor_lease import SupervisorLease
from slipstream.supervisor.worker_manager import WorkerManager
from slipstream.workspace import (
    Workspace,
    database_errors,
    open_workspace,
    read_settings,
)
from telemetry.control_groups import available_memory
from telemetry.options import OptionsError
from transport import TlsError
from transport.bearer_tokens import TokenFileError

_MAX_WAIT_SECONDS = 10.0
"""For inference servers, before workers start: a model may boot for minutes."""


class FleetRunner:
    """Creates what a first start creates, then runs the inference servers of the database."""

    def __init__(
        self,
        launched: Launch,
        printer: StatusPrinter,
        spawner: ServerSpawner,
        boots: BootMetrics,
        count_exit: Callable[[str], None],
        *,
        demo: bool,
    ) -> None:
        """Read the settings; raise UnusableError if they are invalid.

        Boots and ends of inference servers are counted by `boots` and `count_exit`.
        """
        options = launched.options
        self._settings = _settings_of(options)
        _check_servers()
        self._labels = {"host": socket.gethostname(), **options.labels}
        self._memory_bytes = options.memory_bytes or available_memory()
        self._launched = launched
        self._printer = printer
        self._spawner = spawner
        self._boots = boots
        self._count_exit = count_exit
        self._demo = demo
        self._fleet: Fleet | None = None
        self._lease: SupervisorLease | None = None
        self._announced = asyncio.Event()
        self._started = asyncio.Event()
        self._detached = False

    @property
    def drain_seconds(self) -> float:
        """How long calls in flight may go on while everything drains."""
        return self._settings.drain_seconds

    @property
    def drain_delay(self) -> float:
        """How long the ports stay open when the gateways are not ready because everything stops."""
        return self._settings.drain_delay

    async def serve(
        self,
        gateways: GatewayMonitor,
        workers: WorkerManager,
        processes: Callable[[], Sequence[SeenProcess]],
    ) -> None:
        """Create what a first start creates, then run the inference servers until cancelled.

        `processes` returns the gateways and workers, which others are to know of.

        Raises:
            StorageError: the database cannot be used, or this machine has another pepper.
            UnusableError: another supervisor runs its inference servers, and this machine has not
                joined.
        """
        banner = ReadyBanner(self._launched.options, self._printer)
        try:
            async with open_workspace(self._settings) as workspace, self._hold(workspace) as lease:
                announcer = ProcessAnnouncer(ProcessStore(workspace.db), processes, lease.held)
                announcer.start()
                try:
                    await run_together(
                        lease.run(), self._run_servers(workspace, lease, banner, gateways, workers)
                    )
                finally:
                    await announcer.stop()
        finally:
            banner.print_unshown_key()

    async def _run_servers(
        self,
        workspace: Workspace,
        lease: SupervisorLease,
        banner: ReadyBanner,
        gateways: GatewayMonitor,
        workers: WorkerManager,
    ) -> None:
        """Do what `serve` does, while this process has the lease."""
        feed = ChangeFeed(workspace.db)
        models = workspace.services.store
        placement = Placement(
            workspace.db,
            lease.held.host_id,
            model_size=models.size,
            may_take_over=lambda: lease.is_steady,
            labels=self._labels,
            memory_bytes=self._memory_bytes,
            is_limited=self._launched.options.memory_bytes is not None,
        )
        with database_errors():
            rows = await self._prepare(workspace, banner, lease, placement)
            workers_are_needed = await has_queued_deployments(workspace.db)
        if workers_are_needed and self._launched.predecessor is None:  # else its workers go on
            self._start(workers)
        fleet = self._build(workspace, feed, lease, placement, rows)
        self._started.set()
        feed.start()
        try:
            await run_together(
                fleet.run(),
                self._announce_when_ready(
                    banner, gateways, fleet, workers, workers_are_needed=workers_are_needed
                ),
            )
        finally:
            await feed.stop()

    @asynccontextmanager
    async def _hold(self, workspace: Workspace) -> AsyncIterator[SupervisorLease]:
        """Be the one that runs the inference servers of the database."""
        with database_errors():
            lease = self._lease = await SupervisorLease.claim(
                HostStore(workspace.db),
                self._printer,
                joined=self._launched.options.joined,
                labels=self._labels,
                memory_bytes=self._memory_bytes,
            )
        try:
            yield lease
        finally:
            if not self.adopts:  # else what a predecessor has started goes on
                await lease.release()

    async def _prepare(
        self,
        workspace: Workspace,
        banner: ReadyBanner,
        lease: SupervisorLease,
        placement: Placement,
    ) -> Mapping[str, InferenceServer]:
        """Create what a first start creates; return a predecessor's servers, by replica."""
        store = workspace.services.fleet.store
        banner.demo = await first_start(workspace, self._printer, demo=self._demo)
        banner.newest_call = await newest_call(workspace)
        passed = self._launched.predecessor
        if passed is None:
            banner.setup_token = await issue_setup_token(
                workspace.db, workspace.services.hasher, lease.held.host_id
            )
            return {}
        await placement.keep([process.key for process in passed.servers])
        rows = {replica.id: server for server in await store.all() for replica in server.replicas}
        if self._detached:  # a successor adopts them
            await asyncio.Event().wait()
        return rows

    def _build(
        self,
        workspace: Workspace,
        feed: ChangeFeed,
        lease: SupervisorLease,
        placement: Placement,
        rows: Mapping[str, InferenceServer],
    ) -> Fleet:
        """Return the fleet, with what a predecessor ran."""
        passed = self._launched.predecessor
        self._fleet = fleet = Fleet(
            store=workspace.services.fleet.store,
            server_logs=workspace.services.fleet.server_logs,
            models=workspace.services.store,
            feed=feed,
            lease=lease,
            placement=placement,
            scaling=Scaling(
                workspace.db,
                lease.held.host_id,
                down_seconds=self._settings.scale_down_seconds,
            ),
            settings=self._settings,
            log_file=self._launched.log_file,
            sockets=self._launched.folder.sockets,
            spawner=self._spawner,
            printer=self._printer,
            boots=self._boots,
            count_exit=self._count_exit,
            first_socket=passed.socket_numbers if passed else 1,
        )
        if passed is not None:
            fleet.adopt(passed.servers, rows, self._spawner.adopt(passed))
        return fleet

    async def _announce_when_ready(
        self,
        banner: ReadyBanner,
        gateways: GatewayMonitor,
        fleet: Fleet,
        workers: WorkerManager,
        *,
        workers_are_needed: bool,
    ) -> None:
        await gateways.ready()
        waiting = asyncio.create_task(_readiness(banner, fleet))
        try:
            if not workers_are_needed:  # then what else starts has the processors first
                await asyncio.wait([waiting], timeout=_MAX_WAIT_SECONDS)
            self._start(workers)
            readiness = await waiting
        finally:
            waiting.cancel()
        self._announced.set()
        if self._launched.predecessor is None:
            banner.print(readiness)

    def _start(self, workers: WorkerManager) -> None:
        workers.start()

    @property
    def adopts(self) -> bool:
        """Whether the inference servers of a predecessor have not been adopted yet."""
        return self._launched.predecessor is not None and self._fleet is None

    async def started(self) -> None:
        """Return when the inference servers are looked after: `detach` may be called then."""
        await self._started.wait()

    async def announced(self) -> None:
        """Return when everything is ready and the workers have been started."""
        await self._announced.wait()

    async def replace_servers(self) -> None:
        """Replace the inference servers of a predecessor."""
        await self._started.wait()
        assert self._fleet is not None
        await self._fleet.replace_all()

    async def detach(self) -> tuple[list[PassedServer], int]:
        """See Fleet. The host keeps its lease while its supervisor's program is replaced."""
        self._detached = True
        if self._lease is not None:
            await self._lease.keep_for_successor()
        if self._fleet is not None:
            return await self._fleet.detach()
        passed = self._launched.predecessor
        assert passed is not None
        return list(passed.servers), passed.socket_numbers

    def stop_claiming(self) -> None:
        """Leave to other hosts what becomes open from now on: this one is about to stop."""
        if self._fleet:
            self._fleet.stop_claiming()

    async def drain(self, grace: float) -> None:
        """Let every inference server finish its calls and exit; other hosts take over at once."""
        if self._fleet and self._lease:
            await self._lease.release()
            await self._fleet.drain(grace)

    def kill(self) -> None:
        """End every inference server at once."""
        if self._fleet:
            self._fleet.kill()


def check_settings(options: UpOptions) -> None:
    """Check the settings, and whether the database answers and has our pepper; changes nothing.

    Raises:
        UnusableError, StorageError: one of them is invalid, or it does not.
    """
    asyncio.run(_check_database(_settings_of(options)))
    _check_servers()


async def _readiness(banner: ReadyBanner, fleet: Fleet) -> GatewayReadiness:
    await fleet.settled()
    return await banner.wait_until_ready()


async def has_queued_deployments(db: Database) -> bool:
    """Return whether there is a deployment whose runs are executed by workers."""
    queued = (
        Deployment.deployment_type == DeploymentType.API,
        Deployment.execution_mode != ExecutionMode.FAST,
        Deployment.status != DeploymentStatus.DELETED,
    )
    async with db.read() as session:
        found = await session.scalar(sa.select(sa.exists().where(*queued)))
    return bool(found)


async def _check_database(settings: Settings) -> None:
    if await read_revision(settings.database) != newest_revision():
        return  # a reload with code that migrates it first
    db = Database(settings.database)
    try:
        with database_errors():
            problem = await pepper_problem(db, settings.key_pepper, settings.state)
    finally:
        await db.close()
    if problem is not None:
        raise UnusableError(str(problem))


def _settings_of(options: UpOptions) -> Settings:
    found = read_settings(
        host=options.host,
        port=options.port,
        grpc_port=options.grpc_port,
        state=options.state,
        workers=options.workers,
        log_level=log_level(options),
        log_format=options.log_format,
        unresponsive_seconds=options.unresponsive_seconds,
    )
    if options.joined:
        try:
            check_shared(found)
        except UnusableError as error:
            message = "a host that has joined needs every variable of its token, also in the file"
            raise UnusableError(f"{error}; {message} of `slipstream reload --env-file`") from None
    return found


def _check_servers() -> None:
    """Report once what every inference server would report about its ports and certificates."""
    needed = ["--store", ".", "--model", "any", "--version", "1", "--socket", "any"]
    try:
        TcpSecurity.from_settings(settings.check(needed))
    except (OptionsError, TlsError, TokenFileError) as error:
        message = f"inference servers, set by the SLIPSTREAM_INFERENCE_… variables: {error}"
        raise UnusableError(message) from None
