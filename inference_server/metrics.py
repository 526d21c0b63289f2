"""The inference server's instruments, each with the labels of the one model resolved beforehand."""

from __future__ import annotations

from inference_server.lifecycle import BootPhase, Lifecycle, LifecycleState
from inference_server.run_statistics import RunStatistics
from protos.errors import ErrorCode
from telemetry.instruments import BATCH_SIZES, Counter, Registry

_OK = "ok"


class ModelMetrics:
    """What is counted and timed about one model version."""

    def __init__(self, registry: Registry, model: str, version: int) -> None:
        served = (model, str(version))
        names = ("model", "version")
        self._served = served
        self._requests = registry.counter(
            "inference_requests_total",
            "Inference calls answered, by what became of them: ok, or the error code.",
            (*names, "code"),
        )
        self._ok = self._requests.child(*served, _OK)
        self._failed: dict[ErrorCode, Counter] = {}
        self.runs = RunStatistics()
        self.run_seconds = registry.histogram(
            "inference_seconds", "Time that ONNX Runtime took for a run.", names
        ).child(*served)
        self.queue_seconds = registry.histogram(
            "inference_queue_seconds", "Time that a call waited for its run to begin.", names
        ).child(*served)
        self.batch_size = registry.histogram(
            "inference_batch_size", "Rows that one run took.", names, bounds=BATCH_SIZES
        ).child(*served)
        self.queue_depth = registry.gauge(
            "inference_queue_depth", "Calls that wait for their run to begin.", names
        ).child(*served)
        self._state = registry.gauge(
            "inference_server_state",
            "1 for the state that the inference server is in, 0 for the others.",
            (*names, "state"),
        )
        self._boot_seconds = registry.gauge(
            "inference_server_boot_seconds",
            "Time that each phase of the boot took.",
            (*names, "phase"),
        )
        self.queue_depth.set(0)

    @property
    def succeeded(self) -> int:
        """How many calls were answered with what they wanted."""
        return int(self._ok.value)

    @property
    def failed(self) -> int:
        """How many calls were answered with an error, or given up by their callers."""
        return int(sum([counter.value for counter in self._failed.values()]))

    def answered(self, error: ErrorCode | None = None) -> None:
        """Count a call that was answered, with `error` if it failed."""
        if error is None:
            self._ok.add()
            return
        if error not in self._failed:
            self._failed[error] = self._requests.child(*self._served, error)
        self._failed[error].add()

    def moved(self, lifecycle: Lifecycle) -> None:
        """Show the state that the server is in now."""
        for state in LifecycleState:
            self._state.child(*self._served, state).set(float(state == lifecycle.state))

    def booted(self, phase: BootPhase, seconds: float) -> None:
        """Record how long a phase of the boot took."""
        self._boot_seconds.child(*self._served, phase).set(seconds)
