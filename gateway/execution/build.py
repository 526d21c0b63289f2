"""Builds what a gateway process needs to execute runs, itself or through workers."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from gateway.audit.service import AuditLog, KeptAuditEvents
from gateway.broker.broker import parse_broker_url
from gateway.broker.worker_files import WakeFile
from gateway.calls.store import CallStore
from gateway.execution.compiled_flow import CompiledFlowCache
from gateway.execution.executor import RunExecutor
from gateway.execution.launcher import RunLauncher
from gateway.execution.lease_owner import lease_owner_name
from gateway.execution.pool import RunPool
from gateway.execution.preloader import Preloader
from gateway.execution.sweeper import RunMetrics, RunSweeper
from gateway.flows.processes import FlowProcesses
from gateway.metrics import GatewayMetrics
from gateway.outbound.http import GuardedHttpClient
from gateway.rehearsals.store import KeptRehearsals
from gateway.runs.cleanup import DeletedOwnerCleanup
from gateway.runs.retention import KeptForDay, PrunableStore, Retention
from gateway.runs.storage_quota import StorageLimits, StorageQuota
from gateway.runs.storage_usage import StorageCounts
from gateway.runs.store import RunStore
from gateway.runs.waiter import RunWaiter
from gateway.settings import Settings
from gateway.storage.change_feed import ChangeFeed
from gateway.storage.commit_signal import CommitSignal
from gateway.storage.database import Database
from gateway.upstream.servers import InferenceServers
from gateway.webhooks.dispatcher import WebhookDispatcher
from gateway.webhooks.outbox import WebhookOutbox
from telemetry.traces import Tracer


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """The parts of a gateway that execute runs, with their common start and end."""

    store: RunStore
    waiter: RunWaiter
    cleanup: DeletedOwnerCleanup
    compiled_flows: CompiledFlowCache
    processes: FlowProcesses
    preloader: Preloader
    metrics: RunMetrics
    launcher: RunLauncher
    executor: RunExecutor
    pool: RunPool
    sweeper: RunSweeper
    retention: Retention
    http: GuardedHttpClient
    commits: CommitSignal
    tracer: Tracer | None

    async def start(self) -> None:
        """Start publishing, executing, waiting and sweeping."""
        self.commits.start()
        self.waiter.start()
        self.preloader.start()
        self.executor.start()
        self.launcher.publisher.start()
        self.sweeper.start()
        self.retention.start()

    async def end_runs(self, drain_seconds: float) -> None:
        """Let the runs of this process end, for at most `drain_seconds`, and hand back the rest.

        Then every wait ends, so that all callers are answered.
        """
        waiting = await self.pool.drain(drain_seconds)
        await self.sweeper.stop()
        await self.executor.hand_back()
        self.waiter.close()
        if waiting:
            with suppress(SQLAlchemyError, OSError):  # due later, then
                await self.store.make_due(waiting)

    async def close(self) -> None:
        """Stop everything, after `end_runs`."""
        await self.retention.stop()
        await self.sweeper.stop()
        await self.launcher.publisher.close()
        await self.executor.close()
        await self.preloader.stop()
        await self.waiter.stop()
        await self.http.close()


def build_execution(
    settings: Settings,
    db: Database,
    feed: ChangeFeed,
    servers: InferenceServers,
    gateway_metrics: GatewayMetrics,
    *,
    webhooks: WebhookDispatcher,
    processes: FlowProcesses,
    tracer: Tracer | None,
) -> Execution:
    """Wire the parts; raise BrokerError if the broker's URL is invalid."""
    outbox = WebhookOutbox(feed, public_url=settings.public_url, on_written=webhooks.wake)
    limits = StorageLimits.of(settings)
    quota = StorageQuota(limits, folder=db.folder, on_refusal=gateway_metrics.count_refusal)
    store = RunStore(db, outbox=outbox, quota=quota)
    compiled_flows = CompiledFlowCache(db, processes)
    http = GuardedHttpClient(settings.webhook_allow, allow_http=settings.webhook_allow_http)
    executor = RunExecutor(
        store,
        compiled_flows,
        servers,
        http,
        processes,
        owner=lease_owner_name("gateway"),
        max_output_bytes=settings.max_body_bytes,
        on_node=gateway_metrics.nodes.observe,
        tracer=tracer,
    )
    pool = RunPool(executor, size=settings.server_runs)
    broker = parse_broker_url(
        settings.broker_url, folder=settings.broker_folder, prefix=settings.queue_prefix
    )
    launcher = RunLauncher(pool, broker, wake_file=WakeFile(settings.run))
    cleanup = DeletedOwnerCleanup(db, store)
    registry = gateway_metrics.registry
    metrics = RunMetrics(
        registry,
        max_stored_bytes=limits.installation_bytes,
        max_series=settings.metrics_max_series,
    )
    kept: dict[str, PrunableStore] = {
        "runs": store,
        "tests": KeptForDay(store.prune_tests),
        "rehearsals": KeptForDay(KeptRehearsals(db).prune),
        "deliveries": webhooks.store,
        "calls": CallStore(db, kept_minutes=settings.call_retention_minutes),
    }
    if settings.audit_retention_days is not None:
        kept["audit_events"] = KeptAuditEvents(AuditLog(db), days=settings.audit_retention_days)
    retention = Retention(
        db,
        kept,
        days=settings.run_retention_days,
        registry=registry,
    )
    return Execution(
        store=store,
        waiter=RunWaiter(db, store),
        cleanup=cleanup,
        compiled_flows=compiled_flows,
        processes=processes,
        preloader=Preloader(db, feed, compiled_flows),
        metrics=metrics,
        launcher=launcher,
        executor=executor,
        pool=pool,
        sweeper=RunSweeper(store, launcher, StorageCounts(db), cleanup, metrics),
        retention=retention,
        http=http,
        commits=db.commits,
        tracer=tracer,
    )
