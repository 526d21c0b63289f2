"""What is measured of pools of child processes."""

from __future__ import annotations

from telemetry.instruments import Registry


class ChildMetrics:
    """The instruments of all pools of a process, each with the label `program`."""

    def __init__(self, registry: Registry) -> None:
        program = ("program",)
        self.busy = registry.gauge(
            "child_processes_busy", "Child processes that work on a request.", program
        )
        self.waiting = registry.gauge(
            "child_requests_waiting", "Requests that wait for a child process.", program
        )
        self.wait_seconds = registry.histogram(
            "child_wait_seconds", "Time that a request waited for a child process.", program
        )
        self.request_seconds = registry.histogram(
            "child_request_seconds",
            "Time that a child process took for a request, also one without a reply.",
            program,
        )
        self.failures = registry.counter(
            "child_request_failures_total",
            "Requests without a reply, by what ended them (deadline, cpu, memory, size, crash), or "
            "why none was made (overloaded, unavailable, closed).",
            ("program", "reason"),
        )
        self.restarts = registry.counter(
            "child_restarts_total",
            "Child processes that were ended and replaced: as a limit was reached (deadline, cpu, "
            "memory), a request was cancelled (cancelled), the process had grown (grown), a "
            "request computed for long and so lost priority (slowed), or it ended by itself or "
            "was killed from outside (crash).",
            ("program", "reason"),
        )
