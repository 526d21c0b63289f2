"""What a supervisor counts of the processes that it runs. The gateways beside it show it."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from telemetry.instruments import RUN_SECONDS, Registry

_MODEL = ("model", "version")
_USUAL_REASONS = ("requested", "exited", "unresponsive", "SIGKILL", "SIGSEGV")


class BootCause(StrEnum):
    """Why an inference server boots."""

    START = "start"
    """It is to run from now on, or a call has woken it."""
    RESTART = "restart"
    """The process or the boot before it has failed."""
    RELOAD = "reload"
    """It replaces one that runs."""


class BootOutcome(StrEnum):
    """How the boot of an inference server has ended."""

    READY = "ready"
    FAILED = "failed"
    """It has reported why it cannot serve the model."""
    ENDED = "ended"
    """Its process has ended, or was killed, before."""
    NOT_FETCHED = "not_fetched"
    """The model could not be fetched from the store."""


class BootMetrics:
    """The boots of the inference servers that a host runs."""

    def __init__(self, registry: Registry) -> None:
        self._boots = registry.counter(
            "inference_server_boots_total",
            "Boots of inference servers that have ended, by cause (start, also as a call wakes it, "
            "restart, reload) and outcome (ready, failed, ended, not_fetched).",
            (*_MODEL, "cause", "outcome"),
        )
        self._seconds = registry.histogram(
            "inference_server_boot_duration_seconds",
            "Time of the boots of inference servers that became ready.",
            _MODEL,
            RUN_SECONDS,
        )

    def begin(self, model: str, version: int, cause: BootCause) -> None:
        """Show a boot's series from 0, so that the first one is an increase."""
        for outcome in BootOutcome:
            self._boots.child(model, str(version), cause, outcome)

    def count(self, model: str, version: int, cause: BootCause, outcome: BootOutcome) -> None:
        """Count a boot that has ended."""
        self._boots.child(model, str(version), cause, outcome).add()

    def observe(self, model: str, version: int, seconds: float) -> None:
        """Count what a boot took."""
        self._seconds.child(model, str(version)).observe(seconds)

    def show_only(self, exists: Callable[[str, int], bool]) -> None:
        """Show the series of inference servers that exist, by their model and version."""
        for family in (self._boots, self._seconds):
            family.exists = lambda labels: exists(labels[0], int(labels[1]))


class SupervisorMetrics:
    """The ends of processes, and the runs that the workers took."""

    def __init__(self, registry: Registry) -> None:
        self._exits = registry.counter(
            "process_exits_total",
            "Processes that have ended, by what they were (gateway, worker, inference_server, "
            "fork_server) and reason: requested, idle, unresponsive, stuck, exited, the name of a "
            "signal, or not_started.",
            ("process", "reason"),
        )
        self.runs_taken = registry.counter(
            "worker_runs_total", "Runs that workers of the machine have taken."
        ).child()
        self.worker_restarts = registry.counter(
            "worker_restarts_total", "Workers that ended without having been told to."
        ).child()

    def exit_counter(self, process: str) -> Callable[[str], None]:
        """Return what counts the end of a process of that kind, by its reason."""
        for reason in _USUAL_REASONS:  # from 0, so that the first one is an increase
            self._exits.child(process, reason)
        return lambda reason: self._exits.child(process, reason).add()
