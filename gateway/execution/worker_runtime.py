"""Builds what a worker's child process needs to execute runs, after the fork, on its own loop."""

from __future__ import annotations

import os
from pathlib import Path

from gateway.execution.compiled_flow import CompiledFlowCache
from gateway.execution.executor import RunExecutor
from gateway.execution.lease_owner import lease_owner_name
from gateway.execution.lent_slots import GiveBack
from gateway.execution.model_connections import ModelConnections
from gateway.execution.run_instruments import RunInstruments
from gateway.execution.tracing import open_tracer
from gateway.flows.processes import build_flow_processes
from gateway.outbound.http import GuardedHttpClient
from gateway.runs.storage_quota import StorageLimits, StorageQuota
from gateway.runs.store import RunStore
from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.webhooks.outbox import WebhookOutbox
from telemetry.instruments import Registry
from telemetry.snapshots import SharedRegistry


class WorkerRuntime:
    """Executes runs by id, with its own connections to the database and inference servers."""

    def __init__(self, settings: Settings, metrics: Path) -> None:
        """Share what is measured in the folder `metrics`: a child has no endpoint."""
        registry = Registry(max_series=settings.metrics_max_series)
        instruments = RunInstruments(registry)
        self._shared = SharedRegistry(registry, metrics, f"worker-{os.getpid()}")
        self._db = Database(settings.database)
        self._connections = ModelConnections(settings, self._db)
        self._http = GuardedHttpClient(
            settings.webhook_allow, allow_http=settings.webhook_allow_http
        )
        self._processes = build_flow_processes(settings, instruments.children)
        self._tracer = open_tracer(settings, "slipstream-worker", instruments.dropped_spans)
        outbox = WebhookOutbox(self._connections.feed, public_url=settings.public_url)
        self._executor = RunExecutor(
            RunStore(self._db, outbox=outbox, quota=StorageQuota(StorageLimits.of(settings))),
            CompiledFlowCache(self._db, self._processes),
            self._connections.servers,
            self._http,
            self._processes,
            owner=lease_owner_name("worker"),
            max_output_bytes=settings.max_body_bytes,
            on_node=instruments.nodes.observe,
            tracer=self._tracer,
        )

    async def start(self) -> None:
        """Connect, and start the executor."""
        await self._connections.start()
        self._executor.start()
        self._shared.start()

    async def run(self, run_id: str, give_back: GiveBack) -> None:
        """Execute one run; see `RunExecutor.run`."""
        await self._executor.run(run_id, give_back)

    async def close(self) -> None:
        """Stop the executor and close all connections."""
        await self._executor.close()
        await self._processes.close()
        await self._connections.close()
        await self._http.close()
        await self._db.close()
        if self._tracer is not None:
            await self._tracer.close()
        await self._shared.close()
