"""What a worker that runs alone tells a prober and Prometheus."""

from __future__ import annotations

import os
from pathlib import Path

from gateway.deployments.metrics_cleanup import MetricsCleanup
from gateway.execution.run_instruments import RunInstruments
from gateway.fleet.supervisor_metrics import SupervisorMetrics
from gateway.metrics import DEPLOYMENT_LABEL
from gateway.storage.change_feed import ChangeFeed
from gateway.storage.database import Database
from slipstream.supervisor.worker_manager import WorkerManager
from telemetry.exposition import ExpositionFormat
from telemetry.instruments import MAX_SERIES, Registry, render
from telemetry.snapshots import SharedRegistry


def readiness_of(manager: WorkerManager) -> dict[str, object]:
    """Return whether the worker takes runs, and why not, as `/readyz` answers it."""
    reasons = manager.state().reasons
    return {"ready": not reasons, "reasons": reasons}


class WorkerInstruments:
    """The instruments of a worker: of its supervisor and, by the same names, of its process."""

    def __init__(self, registry: Registry) -> None:
        self.ready = registry.gauge("worker_ready", "1 if the worker takes runs.").child()
        self.concurrency = registry.gauge(
            "worker_concurrency",
            "Runs of the queue that the worker can execute at a time.",
            labels=("queue",),
        )
        self.busy = registry.gauge(
            "worker_busy", "Runs of the queue that hold a slot of the worker.", labels=("queue",)
        )
        self.supervisor = SupervisorMetrics(registry)
        RunInstruments(registry)  # what the process measures is added to these


class WorkerMetrics:
    """The metrics of a worker; they name no user."""

    def __init__(self, folder: Path) -> None:
        """Share the folder with the process."""
        self._registry = Registry(max_series=MAX_SERIES)
        self._instruments = WorkerInstruments(self._registry)
        self._shared = SharedRegistry(self._registry, folder, f"worker-{os.getpid()}")
        self._cleanup: MetricsCleanup | None = None
        self._feed: ChangeFeed | None = None
        self._manager: WorkerManager | None = None

    @property
    def supervisor(self) -> SupervisorMetrics:
        """What the manager of the process counts."""
        return self._instruments.supervisor

    def share(self) -> None:
        """Publish what is counted here, for a gateway beside the worker."""
        self._shared.start()

    def show(self, manager: WorkerManager, db: Database) -> None:
        """Have `render` show a manager, and no series of deployments that are deleted."""
        self._manager = manager
        self._feed = ChangeFeed(db)
        self._cleanup = MetricsCleanup(
            db,
            self._feed,
            lambda deployment: self._registry.remove_series(DEPLOYMENT_LABEL, deployment),
            self._shared,
        )
        self._feed.start()
        self._cleanup.start()

    async def stop(self) -> None:
        """Stop sharing, and following the database."""
        await self._shared.close()
        if self._cleanup is not None:
            await self._cleanup.stop()
        if self._feed is not None:
            await self._feed.stop()

    def render(self, form: ExpositionFormat) -> bytes:
        """Return the metrics in a format."""
        instruments = self._instruments
        if self._manager is not None:
            state = self._manager.state()
            instruments.ready.value = float(not state.reasons)
            for queue in self._manager.queues:
                instruments.concurrency.child(queue).value = self._manager.concurrency
                instruments.busy.child(queue).value = state.busy.get(queue, 0)
        return render([self._shared], form)
