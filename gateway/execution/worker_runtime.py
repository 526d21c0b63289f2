"""Builds what a worker's child process needs to execute runs, after the fork, on its own loop."""

from __future__ import annotations

from gateway.children.metrics import ChildMetrics
from gateway.execution.compiled_flow import CompiledFlowCache
from gateway.execution.executor import RunExecutor, lease_owner_name
from gateway.fleet.store import FleetStore
from gateway.fleet.waker import Waker
from gateway.fleet.watcher import FleetWatcher
from gateway.flows.processes import build_flow_processes
from gateway.outbound.http import GuardedHttpClient
from gateway.runs.store import RunStore
from gateway.settings import Settings
from gateway.storage.changes import ChangeFeed
from gateway.storage.database import Database
from gateway.upstream.credentials import UpstreamCredentials
from gateway.upstream.servers import InferenceServers
from gateway.webhooks.outbox import WebhookOutbox
from telemetry.instruments import Registry


class WorkerRuntime:
    """Executes runs by id, with its own connections to the database and inference servers."""

    def __init__(self, settings: Settings) -> None:
        self._db = Database(settings.database)
        self._feed = ChangeFeed(self._db)
        fleet = FleetStore(self._db)
        self._waker = Waker(fleet)
        self._servers = InferenceServers(
            max_message_bytes=settings.max_body_bytes,
            drain_seconds=settings.drain_seconds,
            on_wake=self._waker.wake,
            credentials=UpstreamCredentials.from_settings(settings),
            unresponsive_seconds=settings.unresponsive_seconds,
        )
        self._watcher = FleetWatcher(fleet, self._feed, self._servers)
        self._http = GuardedHttpClient(
            settings.webhook_allow, allow_http=settings.webhook_allow_http
        )
        self._processes = build_flow_processes(settings, ChildMetrics(Registry()))
        self._executor = RunExecutor(
            RunStore(self._db, outbox=WebhookOutbox(self._feed, public_url=settings.public_url)),
            CompiledFlowCache(self._db, self._processes),
            self._servers,
            self._http,
            self._processes,
            owner=lease_owner_name("worker"),
            max_output_bytes=settings.max_body_bytes,
        )

    async def start(self) -> None:
        """Connect, and start the executor."""
        self._feed.start()
        self._watcher.start()
        await self._watcher.loaded.wait()
        self._executor.start()

    async def run(self, run_id: str) -> None:
        """Execute one run; see `RunExecutor.run`."""
        await self._executor.run(run_id)

    async def close(self) -> None:
        """Stop the executor and close all connections."""
        await self._executor.close()
        await self._processes.close()
        await self._watcher.stop()
        await self._servers.close()
        await self._waker.stop()
        await self._http.close()
        await self._feed.stop()
        await self._db.close()
