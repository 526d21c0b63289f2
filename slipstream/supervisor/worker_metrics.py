"""What a worker that runs alone tells a prober and Prometheus."""

from __future__ import annotations

from slipstream.supervisor.worker_manager import WorkerManager
from telemetry.instruments import Registry


def readiness_of(manager: WorkerManager) -> dict[str, object]:
    """Return whether the worker takes runs, and why not, as `/readyz` answers it."""
    reasons = manager.state().reasons
    return {"ready": not reasons, "reasons": reasons}


class WorkerInstruments:
    """The instruments of a worker."""

    def __init__(self, registry: Registry) -> None:
        self.ready = registry.gauge("worker_ready", "1 if the worker takes runs.").child()
        self.concurrency = registry.gauge(
            "worker_concurrency", "Runs that the worker can execute at a time."
        ).child()
        self.busy = registry.gauge("worker_busy", "Runs that the worker executes.").child()
        self.taken = registry.counter("worker_runs_total", "Runs that were taken.").child()
        self.restarts = registry.counter(
            "worker_restarts_total", "Queue workers that ended without having been told to."
        ).child()


class WorkerMetrics:
    """The metrics of a worker; they name no user."""

    def __init__(self, manager: WorkerManager) -> None:
        self._manager = manager
        self._registry = Registry()
        self._instruments = WorkerInstruments(self._registry)

    def render(self) -> bytes:
        """Return the text format of Prometheus."""
        state, instruments = self._manager.state(), self._instruments
        instruments.ready.value = float(not state.reasons)
        instruments.concurrency.value = self._manager.concurrency
        instruments.busy.value = state.busy
        instruments.taken.value = state.taken
        instruments.restarts.value = state.restarts
        return self._registry.render()
