"""Fast calls are runs, too: their rows are written after the answer, many at once."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from datetime import UTC, datetime
from itertools import islice
from time import perf_counter, time
from typing import NamedTuple

from sqlalchemy.exc import SQLAlchemyError

from gateway.deployments.live_deployment import LiveDeployment
from gateway.deployments.settings import NotificationMethod, RecordRuns
from gateway.errors import GatewayError
from gateway.fast_path.call import Trigger
from gateway.metrics import GatewayMetrics
from gateway.runs.run import MAX_OUTPUT_BYTES, FinishedRun, NewRun, RunError, RunResult, RunStatus
from gateway.runs.store import RunStore
from telemetry.logs import logger, reason_of

_MOST_WAITING = 2_000
"""Calls that may wait to be written; what comes on top is counted as dropped."""
_MOST_NOTIFIED = 20_000
"""The same for calls that a webhook is to hear of."""
_MOST_OUTPUT_BYTES = 64 * 1024 * 1024
"""Of outputs that may wait with those."""
_AT_ONCE = 100
_PAUSE_SECONDS = 1.0
"""Between two batches: a hundred rows a second cost nothing, and a day of them can be kept."""
_NOTIFIED_PAUSE_SECONDS = 0.05
"""Between two looks where somebody is to hear of each call, and soon."""

log = logger("gateway.fast_path.recorder")


class _Entry(NamedTuple):
    """A call that was answered; times by the wall clock."""

    deployment: LiveDeployment
    run_id: str
    key_id: str | None
    began: float
    ended: float
    error: GatewayError | None
    output_data: bytes | None
    """Kept only where a webhook is told of it."""


class RunRecorder:
    """Keeps what was answered until it is written. One append a call, and nothing else.

    Calls of a deployment with a webhook stand in a line of their own, which is written at once and
    whole: all of them are kept, whatever else the deployment records.
    """

    def __init__(self, store: RunStore, metrics: GatewayMetrics) -> None:
        self._dropped = metrics.runs_unrecorded
        self._lost = metrics.events_lost
        self._line = _Line(store)
        self._notified = _Line(store)
        self._offset = time() - perf_counter()
        self._tasks: list[asyncio.Task[None]] = []

    def completed(self, trigger: Trigger, output_data: bytes) -> None:
        """Record a call that got its prediction."""
        deployment = trigger.deployment
        if deployment.notification_method is NotificationMethod.WEBHOOK:
            self._notify(trigger, None, output_data)
            return
        record = deployment.record_runs
        if record is RecordRuns.ALL or (
            record is RecordRuns.SAMPLE and random.random() < deployment.record_sample  # noqa: S311 - no secret
        ):
            self._keep(trigger, None)

    def failed(self, trigger: Trigger, error: GatewayError) -> None:
        """Record a call that got an error."""
        if trigger.deployment.notification_method is NotificationMethod.WEBHOOK:
            self._notify(trigger, error, None)
        else:
            self._keep(trigger, error)

    def start(self) -> None:
        """Begin to write."""
        self._tasks = [
            asyncio.create_task(self._write(), name="run recorder"),
            asyncio.create_task(self._write_notified(), name="webhook recorder"),
        ]

    async def close(self) -> None:
        """Write what waits, if the database takes it, and no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for line in (self._notified, self._line):
            await line.write_all()

    def _keep(self, trigger: Trigger, error: GatewayError | None) -> None:
        if len(self._line.waiting) >= _MOST_WAITING:
            self._dropped.add()
        else:
            self._line.put(self._entry(trigger, error, None))

    def _notify(
        self, trigger: Trigger, error: GatewayError | None, output_data: bytes | None
    ) -> None:
        line = self._notified
        if len(line.waiting) >= _MOST_NOTIFIED or line.output_bytes >= _MOST_OUTPUT_BYTES:
            self._dropped.add()
            self._lost.add()
        else:
            if output_data is not None and len(output_data) > MAX_OUTPUT_BYTES:
                output_data = None  # the call went well all the same
            line.put(self._entry(trigger, error, output_data))

    def _entry(
        self, trigger: Trigger, error: GatewayError | None, output_data: bytes | None
    ) -> _Entry:
        ended = perf_counter() + self._offset
        began = trigger.began + self._offset
        return _Entry(
            trigger.deployment, trigger.run_id, trigger.key_id, began, ended, error, output_data
        )

    async def _write(self) -> None:
        while True:
            await asyncio.sleep(_PAUSE_SECONDS)
            await self._line.write_batch()

    async def _write_notified(self) -> None:
        while True:
            await asyncio.sleep(_NOTIFIED_PAUSE_SECONDS)
            if not await self._notified.write_all():
                await asyncio.sleep(_PAUSE_SECONDS)


class _Line:
    """Calls that wait to be written, in order."""

    def __init__(self, store: RunStore) -> None:
        self._store = store
        self.waiting: deque[_Entry] = deque()
        self.output_bytes = 0

    def put(self, entry: _Entry) -> None:
        """Have one more wait."""
        self.waiting.append(entry)
        self.output_bytes += len(entry.output_data or b"")

    async def write_all(self) -> bool:
        """Write until none waits; False where the database does not take them."""
        while self.waiting:
            if not await self.write_batch():
                return False
        return True

    async def write_batch(self) -> bool:
        """Write the oldest, if there are any; keep them where the database is away."""
        batch = [_finished(entry) for entry in islice(self.waiting, _AT_ONCE)]
        if not batch:
            return True
        try:
            await self._store.record_finished(batch)
        except (SQLAlchemyError, OSError) as error:
            log.warning("runs_not_recorded", reason=reason_of(error))
            return False
        for _ in batch:
            written = self.waiting.popleft()
            self.output_bytes -= len(written.output_data or b"")
        return True


def _finished(entry: _Entry) -> FinishedRun:
    deployment, error = entry.deployment, entry.error
    new = NewRun(
        id=entry.run_id,
        profile_id=deployment.profile_id,
        deployment_id=deployment.id,
        version=deployment.version,
        flow_id=deployment.flow_id,
        mode=deployment.mode,
        type=deployment.type,
        key_id=entry.key_id,
        input_data=None,
        timeout_seconds=deployment.timeout_seconds,
    )
    ending = RunResult(
        status=RunStatus.FAILED if error else RunStatus.COMPLETED,
        output_data=entry.output_data,
        error=RunError(code=error.code, message=error.message) if error else None,
        duration_seconds=entry.ended - entry.began,
    )
    return FinishedRun(new=new, ending=ending, started_at=datetime.fromtimestamp(entry.began, UTC))
