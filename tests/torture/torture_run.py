"""Events are delivered while the dispatcher is killed repeatedly."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from random import Random

from gateway.settings import Settings
from gateway.storage.migrate import migrate
from model_store.folder_store import FolderStore
from model_store.verification import Verifier
from tests import onnx_models
from tests.torture.log import LogEntry, ReceiverLog
from tests.torture.processes import DispatcherProcesses, ReceiverProcess
from tests.torture.sender import DeliveryRow, EventSource, WebhookTarget

GOOD = 8
"""Endpoints that accept events, often only after retries."""
DEAD = ("/dead/1", "/dead/2", "/refused/1")
_BATCH = 100
"""Runs ended per transaction."""
_MAX_PENDING = 3_000
"""The maximum of pending events, so that no backlog builds up."""
_DEAD_SHARE = 0.02
"""The share of events for receivers that accept none."""
_POLL_SECONDS = 0.1
_STATUS_SECONDS = 5.0
_TIMEOUT_SECONDS = 120.0
"""The longest time without a new arrival."""

PrintStatus = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class TorturePlan:
    """The parameters of a run."""

    events: int
    """Events for working receivers."""
    kills: int
    fail: float
    """The share of messages that receivers fail."""
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TortureResult:
    """The result of a run."""

    plan: TorturePlan
    sent: frozenset[str]
    """Runs whose events are for working receivers."""
    to_dead: frozenset[str]
    """Runs whose events are for dead receivers."""
    entries: Sequence[LogEntry]
    rows: Sequence[DeliveryRow]
    logged: dict[str, int]
    """Logged attempts by result."""
    kills: int
    seconds: float
    """Time from the first event to the last arrival."""
    cpu_seconds: float
    """CPU time of the dispatchers, without their starts."""


async def prepare(folder: Path, database_url: str) -> Settings:
    """Return the settings of a new installation with one model."""
    await migrate(database_url)
    store = FolderStore(folder / "state" / "models")
    verifier = Verifier([sys.executable, "-m", "inference_server.runtime.verify"])
    store.publish(onnx_models.mlp(folder / "mlp.onnx"), "mlp", verifier=verifier)
    return Settings(
        state=folder / "state",
        database_url=database_url,
        webhook_allow=(ip_network("127.0.0.0/8"),),
        webhook_allow_http=True,
    )


class TortureRun:
    """One run of a plan."""

    def __init__(
        self,
        plan: TorturePlan,
        settings: Settings,
        receiver: ReceiverProcess,
        print_status: PrintStatus,
    ) -> None:
        self._plan = plan
        self._print_status = print_status
        self._random = Random(plan.seed)
        self._sender = EventSource(settings, receiver)
        self._dispatchers = DispatcherProcesses(settings)
        self._log = ReceiverLog(receiver.log_path)
        self._sent: list[str] = []
        self._to_dead: list[str] = []

    async def run(self) -> TortureResult:
        """Send all events while killing the dispatcher; return the result.

        Raises:
            TimeoutError: no event has arrived for too long.
        """
        good = [f"/good/{number}" for number in range(GOOD)]
        targets = await self._sender.open([*good, *DEAD])
        began = time.monotonic()
        self._dispatchers.start()
        try:
            writing = asyncio.create_task(self._write(targets[:GOOD], targets[GOOD:]))
            await self._watch(targets[:GOOD], began)
            await writing
            seconds = time.monotonic() - began
        finally:
            self._dispatchers.end()
        self._log.read()
        outcome = TortureResult(
            plan=self._plan,
            sent=frozenset(self._sent),
            to_dead=frozenset(self._to_dead),
            entries=self._log.entries,
            rows=await self._sender.rows(),
            logged=await self._sender.attempts_by_result(),
            kills=self._dispatchers.kills,
            seconds=seconds,
            cpu_seconds=self._dispatchers.cpu_seconds,
        )
        await self._sender.close()
        return outcome

    async def _write(self, good: Sequence[WebhookTarget], dead: Sequence[WebhookTarget]) -> None:
        """End runs, as fast as their events are delivered."""
        while len(self._sent) < self._plan.events:
            if len(self._sent) - len(self._log.arrived) > _MAX_PENDING:
                await asyncio.sleep(_POLL_SECONDS)
                continue
            size = min(_BATCH, self._plan.events - len(self._sent))
            self._sent += await self._sender.end_runs(self._random.choices(good, k=size))
            dead_size = max(1, int(size * _DEAD_SHARE))
            self._to_dead += await self._sender.end_runs(self._random.choices(dead, k=dead_size))

    async def _watch(self, good: Sequence[WebhookTarget], began: float) -> None:
        """Kill the dispatcher at the planned points until all events are delivered and recorded."""
        due = self._kills_due()
        reported = changed = time.monotonic()
        before = 0
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            self._log.read()
            arrived, at = len(self._log.arrived), time.monotonic()
            if due and arrived >= due[0]:
                self._dispatchers.kill()
                self._print_status(f"kill {self._dispatchers.kills} of {self._plan.kills}")
                due.pop(0)
                await asyncio.to_thread(self._dispatchers.start)
            if at - reported > _STATUS_SECONDS:
                reported = at
                rate = arrived / (at - began)
                self._print_status(f"{arrived:,} of {self._plan.events:,} arrived, {rate:,.0f}/s")
            if arrived > before:
                before, changed = arrived, at
            if arrived >= self._plan.events and not await self._sender.undelivered(good):
                return
            if at - changed > _TIMEOUT_SECONDS:
                raise TimeoutError(f"{arrived:,} events have arrived; no progress")

    def _kills_due(self) -> list[int]:
        """Return the number of arrivals at which each kill is due: spread out, none at the end."""
        step = self._plan.events / (self._plan.kills + 1)
        return [
            int(step * (number + self._random.uniform(-0.4, 0.4)))
            for number in range(1, self._plan.kills + 1)
        ]
