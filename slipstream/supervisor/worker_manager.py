"""The worker of this machine: a process that runs flows of type `api`.

`slipstream up` starts it with the gateways where a deployment needs it, and otherwise when
everything else is ready, or ten seconds after the gateways. `slipstream worker` starts nothing
else.
With an idle time-out it is stopped after a while without a run; the next run starts it again: the
gateway that publishes it touches a file (`WakeFile`), whose date is checked here.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count

from gateway.broker.broker import Queue
from gateway.broker.worker_files import WakeFile
from gateway.fleet.service_process import ProcessKind, SeenProcess
from gateway.fleet.states import State
from gateway.fleet.supervisor_metrics import SupervisorMetrics
from slipstream.status_printer import StatusPrinter
from slipstream.supervisor.process import ChildProcess
from slipstream.supervisor.process_manager import (
    UNRESPONSIVE_SECONDS,
    ProcessManager,
    ProcessStatus,
)
from slipstream.supervisor.run_together import run_together
from slipstream.supervisor.status_reader import StatusLine

HAND_BACK_SECONDS = 4.0
"""Beyond the grace of runs: what a worker needs to hand back those that outlast it."""
_SUBJECT = "worker"
_POLL_SECONDS = 0.1


def describe_concurrency(concurrency: int, queues: Sequence[Queue]) -> str:
    """Return how many runs a worker executes at a time, such as `16 sync and 16 async runs`."""
    return " and ".join(f"{concurrency} {queue}" for queue in queues) + " runs at a time"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerState:
    """What the worker does."""

    reasons: Sequence[str]
    """Why the worker is not ready; empty: it takes runs, or will when one comes."""
    busy: Mapping[str, int]
    """Runs that it executes, by queue."""


class WorkerManager:
    """Keeps a worker running, from `start` on."""

    def __init__(
        self,
        spawn: Callable[[], ChildProcess],
        printer: StatusPrinter,
        *,
        concurrency: int,
        queues: Sequence[Queue] = tuple(Queue),
        wake_file: WakeFile,
        metrics: SupervisorMetrics,
        idle_seconds: float | None = None,
        unresponsive_seconds: float = UNRESPONSIVE_SECONDS,
    ) -> None:
        """Keep what `spawn` starts for `concurrency` runs of each of `queues` at a time.

        With a concurrency of 0 there is no worker.

        After `idle_seconds` without a run it is stopped until `wake_file` is touched. If it is
        silent for `unresponsive_seconds`, it is killed and replaced.
        """
        self.concurrency = concurrency
        self.queues = queues
        self._spawn_worker = spawn
        self._printer = printer
        self._wake_file = wake_file
        self._idle_seconds = idle_seconds
        self._metrics = metrics
        self._manager = ProcessManager(
            self._spawn,
            self,
            describe=lambda key: {"name": key},
            count_exit=metrics.exit_counter("worker"),
            unresponsive_seconds=unresponsive_seconds,
        )
        self._desired: str | None = None
        """The key of the process that takes runs; a stalled one has another and ends."""
        self._generation = 1
        self._replacements = count(2)
        self._ready = False
        self._became_ready = asyncio.Event()
        self._draining = False
        self._busy: dict[str, Mapping[str, int]] = {}
        self._totals: dict[str, int] = {}
        self._active_at = time.monotonic()
        self._touched_at = 0
        self._asleep = asyncio.Event()

    async def run(self) -> None:
        """Look after the worker until cancelled."""
        await run_together(self._manager.run(), self._wake_on_touch())

    def start(self) -> None:
        """Start the worker. Later calls change nothing."""
        if self.concurrency and self._desired is None:
            self._desired = _SUBJECT
            self._set_desired()

    def state(self) -> WorkerState:
        """Return what the worker does."""
        reasons = ["stopping"] if self._draining else []
        if self._desired is not None and not self._ready and not self._asleep.is_set():
            reasons.append("the worker does not take runs")
        busy = Counter[str]()
        for runs in self._busy.values():
            busy.update(runs)
        return WorkerState(reasons=reasons, busy=busy)

    def processes(self) -> list[SeenProcess]:
        """Return the worker, including one that sleeps, and what it replaces."""
        desired = [] if self._draining or self._desired is None else [self._desired]
        return [self._seen(key) for key in sorted({*desired, *self._manager.statuses})]

    async def ready(self) -> None:
        """Return when the worker has been ready once."""
        await self._became_ready.wait()

    async def detach(self) -> dict[str, ChildProcess]:
        """See ProcessManager."""
        return {key: child for key, (child, _) in (await self._manager.detach()).items()}

    async def drain(self, grace: float) -> None:
        """Let the worker finish or hand back its runs, for `grace` seconds at most."""
        self._draining = True
        if self._desired is not None and not self._asleep.is_set():
            self._printer.step(_SUBJECT, "stopping", "dim")
        await self._manager.drain(grace)

    def kill(self) -> None:
        """End the worker at once."""
        self._manager.kill()

    def spawned(self, key: str, child: ChildProcess) -> None:
        """A worker is starting."""
        self._print(key, f"process {child.pid}", "dim")

    def reported(self, key: str, line: StatusLine) -> None:
        """A worker has reported its state."""
        match line["event"]:
            case "ready":
                self._on_ready(key)
            case "heartbeat":
                self._on_heartbeat(
                    key, busy=dict(line["busy"]), runs=int(line["runs"]), total=int(line["total"])
                )
            case "unresponsive":
                self._not_ready(key)
                self._print(key, f"unresponsive: {line['message']}", "red")
            case "stalled":
                self._replace(key)
            case "failed":
                self._print(key, str(line["message"]), "red")

    def exited(self, key: str, *, requested: bool, reason: str, retry_in: float) -> None:
        """A worker has ended."""
        self._not_ready(key)
        self._busy.pop(key, None)
        self._totals.pop(key, None)
        if requested:
            self._print(key, "stopped", "dim")
        else:
            self._metrics.worker_restarts.add()
            self._print(key, f"{reason}; started again in {retry_in:.1f} s", "red")

    def removed(self, key: str) -> None:
        """See ProcessManager; everything is in `exited`."""

    def _seen(self, key: str) -> SeenProcess:
        status = self._manager.statuses.get(key)
        if status is None and self._asleep.is_set():
            status = ProcessStatus(state=State.STOPPED, reason="asleep until the next run")
        elif status is None:
            status = ProcessStatus(state=State.BOOTING)
        return SeenProcess(
            kind=ProcessKind.WORKER,
            name=key,
            state=status.state,
            reason=status.reason,
            pid=status.pid,
            concurrency=self.concurrency * len(self.queues),
        )

    async def _spawn(self, _key: str) -> ChildProcess:
        return self._spawn_worker()

    def _set_desired(self) -> None:
        self._active_at = time.monotonic()
        assert self._desired is not None
        self._manager.set_desired({self._desired: self._generation})

    def _on_ready(self, key: str) -> None:
        if key != self._desired or self._ready:
            return
        self._ready = True
        self._active_at = time.monotonic()
        self._became_ready.set()
        text = f"ready for {describe_concurrency(self.concurrency, self.queues)}"
        self._printer.step(_SUBJECT, text, "green")

    def _not_ready(self, key: str) -> None:
        if key == self._desired:
            self._ready = False

    def _replace(self, key: str) -> None:
        """Start a worker in place of a stalled one, which may finish its runs."""
        if key == self._desired:
            self._print(key, "stalled: it is replaced", "red")
            self._desired = f"{_SUBJECT} {next(self._replacements)}"
            self._ready = False
            self._set_desired()

    def _on_heartbeat(self, key: str, *, busy: Mapping[str, int], runs: int, total: int) -> None:
        now = time.monotonic()
        if runs or self._totals.get(key) != total or not self._ready:
            self._active_at = now
        self._metrics.runs_taken.add(total - self._totals.get(key, 0))
        self._busy[key], self._totals[key] = busy, total
        if self._idle_seconds is not None and now - self._active_at >= self._idle_seconds:
            self._sleep(self._idle_seconds)

    def _sleep(self, idle_seconds: float) -> None:
        """Stop the worker, unless a run is on its way: its publisher touches the file."""
        if self._asleep.is_set() or self._wake_file.seconds_since_touch() < idle_seconds:
            return
        self._touched_at = self._wake_file.touched_at()
        self._asleep.set()
        self._ready = False  # heartbeats of one that still drains must not count after a wake-up
        self._printer.step(_SUBJECT, "asleep until the next run", "dim")
        self._manager.set_desired({})

    async def _wake_on_touch(self) -> None:
        while True:
            await self._asleep.wait()
            await asyncio.sleep(_POLL_SECONDS)
            if self._wake_file.touched_at() != self._touched_at:
                self._asleep.clear()
                self._generation += 1  # starts it at once, whatever crashes came before
                self._printer.step(_SUBJECT, "woken by a run", "dim")
                self._set_desired()

    def _print(self, key: str, text: str, style: str) -> None:
        self._printer.step(key, text, style)
