"""Fast calls are runs, too: their rows are written after the answer, many at once."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from datetime import UTC, datetime
from itertools import islice
from time import perf_counter, time

from sqlalchemy.exc import SQLAlchemyError

from gateway.deployments.live import LiveDeployment
from gateway.deployments.modes import RecordRuns
from gateway.errors import GatewayError
from gateway.metrics import GatewayMetrics
from gateway.runs.run import Ending, FinishedRun, NewRun, RunError, RunStatus
from gateway.runs.store import RunStore
from gateway.trigger.call import Trigger
from telemetry.logs import logger

_MOST_WAITING = 2_000
"""Calls that may wait to be written; what comes on top is counted as dropped."""
_AT_ONCE = 100
_PAUSE_SECONDS = 1.0
"""Between two batches: a hundred rows a second cost nothing, and a day of them can be kept."""

log = logger("gateway.trigger.recorder")

_Entry = tuple[LiveDeployment, str, str | None, float, float, GatewayError | None]
"""Deployment, run id, key id, began and ended by the wall clock, and the error."""


class Recorder:
    """Keeps what was answered until it is written. One append a call, and nothing else."""

    def __init__(self, store: RunStore, metrics: GatewayMetrics) -> None:
        self._store = store
        self._dropped = metrics.runs_unrecorded
        self._waiting: deque[_Entry] = deque()
        self._offset = time() - perf_counter()
        self._task: asyncio.Task[None] | None = None

    def completed(self, trigger: Trigger) -> None:
        """Record a call that got its prediction."""
        record = trigger.deployment.record_runs
        if record is RecordRuns.ALL or (
            record is RecordRuns.SAMPLE and random.random() < trigger.deployment.record_sample  # noqa: S311 - no secret
        ):
            self._keep(trigger, None)

    def failed(self, trigger: Trigger, error: GatewayError) -> None:
        """Record a call that got an error."""
        self._keep(trigger, error)

    def start(self) -> None:
        """Begin to write."""
        self._task = asyncio.create_task(self._write(), name="run recorder")

    async def close(self) -> None:
        """Write what waits, if the database takes it, and no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        while self._waiting and await self._write_batch():
            pass

    def _keep(self, trigger: Trigger, error: GatewayError | None) -> None:
        if len(self._waiting) >= _MOST_WAITING:
            self._dropped.add()
            return
        ended = perf_counter() + self._offset
        began = trigger.began + self._offset
        entry = (trigger.deployment, trigger.run_id, trigger.key_id, began, ended, error)
        self._waiting.append(entry)

    async def _write(self) -> None:
        while True:
            await asyncio.sleep(_PAUSE_SECONDS)
            if self._waiting:
                await self._write_batch()

    async def _write_batch(self) -> bool:
        """Write the oldest; keep them where the database is away."""
        batch = [_finished(entry) for entry in islice(self._waiting, _AT_ONCE)]
        try:
            await self._store.record_finished(batch)
        except (SQLAlchemyError, OSError) as error:
            log.warning("runs_not_recorded", reason=str(error).partition("\n")[0])
            return False
        for _ in batch:
            self._waiting.popleft()
        return True


def _finished(entry: _Entry) -> FinishedRun:
    deployment, run_id, key_id, began, ended, error = entry
    new = NewRun(
        id=run_id,
        profile_id=deployment.profile_id,
        deployment_id=deployment.id,
        version=deployment.version,
        flow_id=deployment.flow_id,
        mode=deployment.mode,
        type=deployment.type,
        key_id=key_id,
        input_data=None,
        timeout_seconds=deployment.timeout_seconds,
    )
    ending = Ending(
        status=RunStatus.FAILED if error else RunStatus.COMPLETED,
        error=RunError(code=error.code, message=error.message) if error else None,
        duration_seconds=ended - began,
    )
    return FinishedRun(new=new, ending=ending, started_at=datetime.fromtimestamp(began, UTC))
