"""All that a gateway process needs to have flows executed, here or by workers."""

from __future__ import annotations

from gateway.broker.broker import parse_broker_url
from gateway.broker.wake_file import WakeFile
from gateway.execution.compiled_flow import CompiledFlowCache
from gateway.execution.executor import RunExecutor
from gateway.execution.launcher import RunLauncher
from gateway.execution.pool import RunPool
from gateway.execution.preloader import Preloader
from gateway.execution.sweeper import RunSweeper
from gateway.execution.worker_runtime import lease_owner_name
from gateway.outbound.http import GuardedHttpClient
from gateway.runs.cleanup import DeletedOwnerCleanup
from gateway.runs.metrics import RunMetrics
from gateway.runs.retention import Retention
from gateway.runs.store import RunStore
from gateway.runs.waiter import RunWaiter
from gateway.settings import Settings
from gateway.storage.changes import ChangeFeed
from gateway.storage.database import Database
from gateway.upstream.servers import InferenceServers
from gateway.webhooks.delivery_service import WebhookDeliveryService
from gateway.webhooks.outbox import WebhookOutbox
from telemetry.instruments import Registry


class ExecutionServices:
    """Rows, programs, the pool of this process and the way to the workers, wired together."""

    def __init__(
        self,
        settings: Settings,
        db: Database,
        feed: ChangeFeed,
        servers: InferenceServers,
        registry: Registry,
        *,
        webhooks: WebhookDeliveryService,
    ) -> None:
        """Raise BrokerError where the broker's URL cannot be used."""
        self._commits = db.commits
        outbox = WebhookOutbox(
            feed, public_url=settings.public_url, on_written=webhooks.dispatcher.wake
        )
        self.store = RunStore(db, outbox=outbox)
        self.waiter = RunWaiter(db, self.store)
        self.cleanup = DeletedOwnerCleanup(db, self.store)
        self.compiled_flows = CompiledFlowCache(db)
        self.preloader = Preloader(db, feed, self.compiled_flows)
        self.metrics = RunMetrics(registry)
        self._http = GuardedHttpClient(
            settings.webhook_allow, allow_http=settings.webhook_allow_http
        )
        self._executor = RunExecutor(
            self.store,
            self.compiled_flows,
            servers,
            self._http,
            owner=lease_owner_name("gateway"),
            max_output_bytes=settings.max_body_bytes,
        )
        self._pool = RunPool(self._executor, size=settings.server_runs)
        broker = parse_broker_url(
            settings.broker_url, folder=settings.broker_folder, prefix=settings.queue_prefix
        )
        self.launcher = RunLauncher(self._pool, broker, wake_file=WakeFile(settings.run))
        self._sweep = RunSweeper(
            self.store,
            self.launcher,
            Retention(db, self.store, days=settings.run_retention_days, others=[webhooks.store]),
            self.cleanup,
            self.metrics,
        )

    async def start(self) -> None:
        """Begin to hand runs over, to execute those of this process, and to sweep."""
        self._commits.start()
        self.waiter.start()
        self.preloader.start()
        self._executor.start()
        self.launcher.publisher.start()
        self._sweep.start()

    async def close(self, drain_seconds: float) -> None:
        """Let the runs of this process end, within limits, and give everything back."""
        await self._pool.drain(drain_seconds)
        await self._sweep.stop()
        await self.launcher.publisher.close()
        await self._executor.close()
        await self.preloader.stop()
        await self.waiter.stop()
        await self._http.close()
