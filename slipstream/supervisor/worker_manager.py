"""The queue workers of this machine: processes that run flows of type `api`.

`slipstream up` starts them with the gateways where a deployment needs them, and otherwise when
everything else is ready, or ten seconds after the gateways. `slipstream worker` starts nothing
else.
With an idle time-out they are stopped after a while without a run; the next run starts them again:
the gateway that publishes it touches a file (`WakeFile`), whose date is checked here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import count

from gateway.broker.broker import Queue
from gateway.broker.worker_files import WakeFile
from gateway.fleet.service_process import ProcessKind, SeenProcess
from gateway.fleet.states import State
from gateway.fleet.supervisor_metrics import SupervisorMetrics
from gateway.worker.plan import QueueWorkerPlan, plan_queue_workers
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
"""Beyond the grace of runs: what queue workers need to hand back those that outlast it."""
_SUBJECT = "worker"
_POLL_SECONDS = 0.1

SpawnQueueWorker = Callable[[QueueWorkerPlan], ChildProcess]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerState:
    """What the queue workers do."""

    reasons: Sequence[str]
    """Why the worker is not ready; empty: it takes runs, or will when one comes."""
    busy: int
    """Runs that it executes."""


class WorkerManager:
    """Keeps the planned queue workers running, from `start` on."""

    def __init__(
        self,
        spawn: SpawnQueueWorker,
        printer: StatusPrinter,
        *,
        concurrency: int,
        queues: Collection[Queue] = tuple(Queue),
        wake_file: WakeFile,
        metrics: SupervisorMetrics,
        idle_seconds: float | None = None,
        unresponsive_seconds: float = UNRESPONSIVE_SECONDS,
    ) -> None:
        """Do `concurrency` runs at a time; with 0 there are no queue workers.

        After `idle_seconds` without a run they are stopped until `wake_file` is touched. One that
        is silent for `unresponsive_seconds` is killed and replaced.
        """
        self.concurrency = concurrency
        self._spawn_queue_worker = spawn
        self._printer = printer
        self._queues = queues
        self._wake_file = wake_file
        self._idle_seconds = idle_seconds
        self._metrics = metrics
        self._manager = ProcessManager(
            self._spawn,
            self,
            describe=lambda key: {"name": self._title(key)},
            count_exit=metrics.exit_counter("worker"),
            unresponsive_seconds=unresponsive_seconds,
        )
        self._plans: dict[str, QueueWorkerPlan] = {}
        """By key: what each process was started for, the stalled ones included."""
        self._desired: list[str] = []
        self._generation = 1
        self._replacements = count(2)
        self._ready: set[str] = set()
        self._became_ready = asyncio.Event()
        self._draining = False
        self._busy: dict[str, int] = {}
        self._totals: dict[str, int] = {}
        self._active_at = time.monotonic()
        self._touched_at = 0
        self._asleep = False

    async def run(self) -> None:
        """Look after the queue workers until cancelled."""
        await run_together(self._manager.run(), self._wake_on_touch())

    def start(self, *, delivers_on_demand: bool) -> None:
        """Start the queue workers; see `plan_queue_workers`. Later calls change nothing."""
        if not self.concurrency or self._desired:
            return
        for plan in plan_queue_workers(
            self.concurrency, self._queues, delivers_on_demand=delivers_on_demand
        ):
            self._plans[plan.name] = plan
            self._desired.append(plan.name)
        self._set_desired()

    def state(self) -> WorkerState:
        """Return what the worker does."""
        waiting = [] if self._asleep else [key for key in self._desired if key not in self._ready]
        reasons = [f"queue worker '{key}' does not take runs" for key in waiting]
        return WorkerState(
            reasons=["stopping", *reasons] if self._draining else reasons,
            busy=sum(self._busy.values()),
        )

    def processes(self) -> list[SeenProcess]:
        """Return the queue workers, including those that sleep."""
        desired = () if self._draining else self._desired
        return [self._seen(key) for key in sorted({*desired, *self._manager.statuses})]

    async def ready(self) -> None:
        """Return when all queue workers have been ready once."""
        await self._became_ready.wait()

    async def detach(self) -> dict[str, ChildProcess]:
        """See ProcessManager."""
        return {key: child for key, (child, _) in (await self._manager.detach()).items()}

    async def drain(self, grace: float) -> None:
        """Let the queue workers finish or hand back their runs, for `grace` seconds at most."""
        self._draining = True
        if self._desired and not self._asleep:
            self._printer.step(_SUBJECT, "stopping", "dim")
        await self._manager.drain(grace)

    def kill(self) -> None:
        """End the queue workers at once."""
        self._manager.kill()

    def spawned(self, key: str, child: ChildProcess) -> None:
        """A queue worker is starting."""
        self._print(key, f"process {child.pid}", "dim")

    def reported(self, key: str, line: StatusLine) -> None:
        """A queue worker has reported its state."""
        match line["event"]:
            case "ready":
                self._on_ready(key)
            case "heartbeat":
                self._on_heartbeat(key, busy=int(line["busy"]), total=int(line["total"]))
            case "unresponsive":
                self._ready.discard(key)
                self._print(key, f"unresponsive: {line['message']}", "red")
            case "stalled":
                self._replace(key)
            case "failed":
                self._print(key, str(line["message"]), "red")

    def exited(self, key: str, *, requested: bool, reason: str, retry_in: float) -> None:
        """A queue worker has ended."""
        self._ready.discard(key)
        self._busy.pop(key, None)
        self._totals.pop(key, None)
        if requested:
            self._print(key, "stopped", "dim")
        else:
            self._metrics.worker_restarts.add()
            self._print(key, f"{reason}; started again in {retry_in:.1f} s", "red")

    def removed(self, key: str) -> None:
        """A queue worker has ended for good; the plans of those asleep are kept."""
        if key not in self._desired:
            del self._plans[key]

    def _seen(self, key: str) -> SeenProcess:
        status = self._manager.statuses.get(key)
        if status is None and self._asleep:
            status = ProcessStatus(state=State.STOPPED, reason="asleep until the next run")
        elif status is None:
            status = ProcessStatus(state=State.BOOTING)
        return SeenProcess(
            kind=ProcessKind.WORKER,
            name=key,
            state=status.state,
            reason=status.reason,
            pid=status.pid,
            concurrency=self._plans[key].concurrency,
        )

    async def _spawn(self, key: str) -> ChildProcess:
        return self._spawn_queue_worker(self._plans[key])

    def _set_desired(self) -> None:
        self._active_at = time.monotonic()
        self._manager.set_desired(dict.fromkeys(self._desired, self._generation))

    def _on_ready(self, key: str) -> None:
        all_ready = self._all_ready()
        self._ready.add(key)
        if self._all_ready() and not all_ready:
            self._active_at = time.monotonic()
            self._became_ready.set()
            text = f"ready for {self.concurrency} runs at a time"
            self._printer.step(_SUBJECT, text, "green")

    def _all_ready(self) -> bool:
        return self._ready.issuperset(self._desired)

    def _replace(self, key: str) -> None:
        """Start a queue worker in place of a stalled one, which may finish its runs."""
        if key in self._desired:
            plan = self._plans[key]
            replacement = f"{plan.name} {next(self._replacements)}"
            self._plans[replacement] = plan
            self._desired[self._desired.index(key)] = replacement
            self._print(key, "stalled: it is replaced", "red")
            self._set_desired()

    def _on_heartbeat(self, key: str, *, busy: int, total: int) -> None:
        now = time.monotonic()
        if busy or self._totals.get(key) != total or not self._all_ready():
            self._active_at = now
        self._metrics.runs_taken.add(total - self._totals.get(key, 0))
        self._busy[key], self._totals[key] = busy, total
        if self._idle_seconds is not None and now - self._active_at >= self._idle_seconds:
            self._sleep(self._idle_seconds)

    def _sleep(self, idle_seconds: float) -> None:
        """Stop the queue workers, unless a run is on its way: its publisher touches the file."""
        if self._asleep or self._wake_file.seconds_since_touch() < idle_seconds:
            return
        self._touched_at = self._wake_file.touched_at()
        self._asleep = True
        self._ready.clear()  # heartbeats of those that still drain must not count after a wake-up
        self._printer.step(_SUBJECT, "asleep until the next run", "dim")
        self._manager.set_desired({})

    async def _wake_on_touch(self) -> None:
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            if self._asleep and self._wake_file.touched_at() != self._touched_at:
                self._asleep = False
                self._generation += 1  # starts them at once, whatever crashes came before
                self._printer.step(_SUBJECT, "woken by a run", "dim")
                self._set_desired()

    def _print(self, key: str, text: str, style: str) -> None:
        self._printer.step(self._title(key), text, style)

    @staticmethod
    def _title(key: str) -> str:
        return f"{_SUBJECT} {key}"
