"""Rows of fast calls, which are runs, too: written after the response, in batches."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import islice
from time import perf_counter, time
from typing import NamedTuple

from sqlalchemy.exc import SQLAlchemyError

from gateway.deployments.live_deployment import LiveDeployment
from gateway.deployments.settings import NotificationMethod, RecordRuns
from gateway.errors import GatewayError
from gateway.fast_path.call_record import DeploymentCallRecord
from gateway.metrics import GatewayMetrics
from gateway.runs.run import MAX_OUTPUT_BYTES, FinishedRun, NewRun, RunError, RunResult, RunStatus
from gateway.runs.store import RunStore
from telemetry.logs import logger, reason_of

_MAX_WAITING = 2_000
"""Calls that may wait to be written; further ones are counted as dropped."""
_MAX_WEBHOOK_WAITING = 20_000
"""The same for calls that are reported to a webhook."""
_MAX_OUTPUT_BYTES = 64 * 1024 * 1024
"""Of outputs that may wait with those."""
_BATCH_SIZE = 100
_PAUSE_SECONDS = 1.0
"""Between two batches: a hundred rows a second cost nothing, and a day of them can be kept."""
_WEBHOOK_PAUSE_SECONDS = 0.05
"""Between two batches where a webhook is to report each call, and soon."""

log = logger("gateway.fast_path.recorder")


class _RecordedCall(NamedTuple):
    """What a run's row says of an answered call; times by the wall clock."""

    deployment: LiveDeployment
    run_id: str
    key_id: str | None
    began: float
    ended: float
    error: GatewayError | None
    output_data: bytes | None
    """Kept only where a webhook reports it."""


class RunRecorder:
    """Keeps answered calls until they are written.

    Calls of a deployment with a webhook have a queue of their own, which is written at once and
    whole: all of them are kept, whatever else the deployment records.
    """

    def __init__(self, store: RunStore, metrics: GatewayMetrics) -> None:
        self._dropped = metrics.runs_unrecorded
        self._lost = metrics.events_lost
        self._queue = _WriteQueue(store)
        self._webhook_queue = _WriteQueue(store)
        self._clock_offset = time() - perf_counter()
        self._tasks: list[asyncio.Task[None]] = []

    def record(self, deployment: LiveDeployment, calls: Sequence[DeploymentCallRecord]) -> None:
        """Record fast calls of a deployment that an inference server has answered or failed."""
        if deployment.notification_method is NotificationMethod.WEBHOOK:
            for call in calls:
                self._record_for_webhook(deployment, call)
            return
        match deployment.record_runs:
            case RecordRuns.ALL:
                recorded = calls
            case RecordRuns.SAMPLE:
                share = deployment.record_sample
                recorded = [call for call in calls if call.run_error or random.random() < share]  # nosec B311 # no secret
            case _:
                recorded = [call for call in calls if call.run_error]
        room = max(0, _MAX_WAITING - len(self._queue.waiting))
        for call in recorded[:room]:
            self._queue.put(self._recorded(deployment, call, None))
        if len(recorded) > room:
            self._dropped.add(len(recorded) - room)

    def start(self) -> None:
        """Begin to write."""
        self._tasks = [
            asyncio.create_task(self._write(), name="run recorder"),
            asyncio.create_task(self._write_for_webhooks(), name="webhook recorder"),
        ]

    async def close(self) -> None:
        """Write what waits, unless the database is down, and stop."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for queue in (self._webhook_queue, self._queue):
            await queue.write_all()

    def _record_for_webhook(self, deployment: LiveDeployment, call: DeploymentCallRecord) -> None:
        queue = self._webhook_queue
        if len(queue.waiting) >= _MAX_WEBHOOK_WAITING or queue.output_bytes >= _MAX_OUTPUT_BYTES:
            self._dropped.add()
            self._lost.add()
        else:
            output_data = call.output_data
            if output_data is not None and len(output_data) > MAX_OUTPUT_BYTES:
                output_data = None  # the run has completed all the same
            queue.put(self._recorded(deployment, call, output_data))

    def _recorded(
        self, deployment: LiveDeployment, call: DeploymentCallRecord, output_data: bytes | None
    ) -> _RecordedCall:
        return _RecordedCall(
            deployment,
            call.run_id,
            None if call.route is None else call.route.identity.key_id,
            call.began + self._clock_offset,
            call.ended + self._clock_offset,
            call.run_error,
            output_data,
        )

    async def _write(self) -> None:
        while True:
            await asyncio.sleep(_PAUSE_SECONDS)
            await self._queue.write_batch()

    async def _write_for_webhooks(self) -> None:
        while True:
            await asyncio.sleep(_WEBHOOK_PAUSE_SECONDS)
            if not await self._webhook_queue.write_all():
                await asyncio.sleep(_PAUSE_SECONDS)


class _WriteQueue:
    """Calls that wait to be written, in order."""

    def __init__(self, store: RunStore) -> None:
        self._store = store
        self.waiting: deque[_RecordedCall] = deque()
        self.output_bytes = 0

    def put(self, call: _RecordedCall) -> None:
        """Add a call."""
        self.waiting.append(call)
        self.output_bytes += len(call.output_data or b"")

    async def write_all(self) -> bool:
        """Write until none waits; False: the database is down."""
        while self.waiting:
            if not await self.write_batch():
                return False
        return True

    async def write_batch(self) -> bool:
        """Write the oldest calls; False: the database is down, and they stay in the queue."""
        batch = [_finished_run(call) for call in islice(self.waiting, _BATCH_SIZE)]
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


def _finished_run(call: _RecordedCall) -> FinishedRun:
    deployment, error = call.deployment, call.error
    new = NewRun(
        id=call.run_id,
        profile_id=deployment.profile_id,
        deployment_id=deployment.id,
        version=deployment.version,
        flow_id=deployment.flow_id,
        mode=deployment.mode,
        type=deployment.type,
        key_id=call.key_id,
        input_data=None,
        timeout_seconds=deployment.timeout_seconds,
    )
    ending = RunResult(
        status=RunStatus.FAILED if error else RunStatus.COMPLETED,
        output_data=call.output_data,
        error=RunError(code=error.code, message=error.message) if error else None,
        duration_seconds=call.ended - call.began,
    )
    return FinishedRun(new=new, ending=ending, started_at=datetime.fromtimestamp(call.began, UTC))
