"""Which fast calls leave a run behind, and when it is written.

A call's answer contains a `flow_run_id` only if its run was written before: of deployments that
record all calls or have a webhook, of calls with an Idempotency-Key, and of failed calls. A sample
of the others is written afterwards.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from time import monotonic

from gateway.deployments.live_deployment import LiveDeployment
from gateway.deployments.settings import RecordRuns
from gateway.errors import GatewayError
from gateway.fast_path.answerable_call import AnswerableCall
from gateway.fast_path.call_record import DeploymentCallRecord
from gateway.fast_path.finished_runs import completed_run
from gateway.fast_path.recorded_call import RecordedCall, RecordedFailure
from gateway.fast_path.run_writer import RunWriter
from gateway.fast_path.unrecorded_runs import REPORT_SECONDS, Unrecorded, UnrecordedRuns
from gateway.limits.gcra import Gcra
from gateway.limits.policy import MINUTE, Policy
from gateway.metrics import GatewayMetrics
from gateway.runs.idempotency import HEADER, key_required
from gateway.runs.run import FinishedRun
from gateway.runs.store import RunStore
from gateway.storage.failures import log_failure
from telemetry.logs import logger

SAMPLES = Policy(name="recorded-samples", quota=60, window=MINUTE)
"""Successful calls of a sample that are written, per deployment and process: all 60 may come at
once. It bounds the table: 2.6 million rows in the 30 days that runs are kept."""
FAILURES = Policy(name="recorded-failures", quota=600, window=MINUTE)
"""The same for failed calls."""
_MAX_RATES = 10_000
_MAX_WAITING = 2_000
"""Runs that may wait to be written after their answer."""
_BATCH_SIZE = 100
_PAUSE_SECONDS = 1.0
"""Between two writes of these."""

log = logger("gateway.fast_path.recorder")


class RunRecorder:
    """Records fast calls as runs. For one event loop."""

    def __init__(
        self, store: RunStore, metrics: GatewayMetrics, database_answers: Callable[[], bool]
    ) -> None:
        self._store = store
        self._writer = RunWriter(store, database_answers)
        self._unrecorded = UnrecordedRuns(metrics)
        self._rates: dict[str, _Rates] = {}
        self._waiting: deque[FinishedRun] = deque()
        self._task: asyncio.Task[None] | None = None
        self.degraded = self._unrecorded.degraded

    def begin(self, call: AnswerableCall) -> RecordedCall:
        """Return what executes a call that is answered when its run is written.

        Raises:
            GatewayError: IDEMPOTENCY_KEY_REQUIRED.
        """
        assert call.route is not None
        if call.route.deployment.require_idempotency_key and HEADER not in call.headers:
            raise key_required()
        return RecordedCall(call, self._writer, self._store)

    def fail(self, call: AnswerableCall, error: GatewayError) -> RecordedFailure | None:
        """Answer a call that an inference server has failed, with the id of its run if it has one.

        Failures are recorded up to a rate. Returns what the call waits for, if it does.
        """
        assert call.route is not None
        if self._rates_of(call.route.deployment).failures.try_take(1, monotonic()):
            self._unrecorded.count(Unrecorded.FAILURE_RATE)
            call.fail(error)
            return None
        failure = RecordedFailure(call, error, self._keep)
        return failure if failure.start(self._writer) else None

    def sample(self, deployment: LiveDeployment, calls: Sequence[DeploymentCallRecord]) -> None:
        """Record a sample of calls that were answered without a run's id."""
        if deployment.record_runs is not RecordRuns.SAMPLE:
            return
        share = deployment.record_sample
        if share < 1:
            calls = [call for call in calls if random.random() < share]  # nosec B311 # no secret
        samples, now = self._rates_of(deployment).samples, monotonic()
        taken = min(len(calls), samples.remaining(now)[0])
        if taken:
            samples.try_take(taken, now)
        for call in calls[:taken]:
            self._keep(completed_run(call))
        if taken < len(calls):
            self._unrecorded.count(Unrecorded.SAMPLE_RATE, len(calls) - taken)

    def start(self) -> None:
        """Begin to write what is written after its answer, and to report."""
        self._task = asyncio.create_task(self._run(), name="run recorder")

    async def close(self) -> None:
        """Write what waits, unless the database is away, and stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._writer.close()
        await self._write_waiting()
        if self._waiting:
            self._unrecorded.count(Unrecorded.DATABASE, len(self._waiting))
        self._unrecorded.report()

    def _rates_of(self, deployment: LiveDeployment) -> _Rates:
        found = self._rates.get(deployment.id)
        if found is None:
            if len(self._rates) >= _MAX_RATES:
                self._rates.clear()
            found = self._rates[deployment.id] = _Rates()
        return found

    def _keep(self, finished: FinishedRun) -> None:
        """Have a run written later, if there is room."""
        if len(self._waiting) < _MAX_WAITING:
            self._waiting.append(finished)
        else:
            self._unrecorded.count(Unrecorded.DATABASE)

    async def _run(self) -> None:
        reported = monotonic()
        while True:
            await asyncio.sleep(_PAUSE_SECONDS)
            await self._write_waiting()
            if monotonic() - reported >= REPORT_SECONDS:
                reported = monotonic()
                self._unrecorded.report()

    async def _write_waiting(self) -> None:
        while self._waiting and await self._write_batch():
            pass

    async def _write_batch(self) -> bool:
        """Write the oldest runs that wait; False: the database is away, and they still wait."""
        batch = list(islice(self._waiting, _BATCH_SIZE))
        try:
            await self._store.record_finished(batch)
        except Exception as error:  # noqa: BLE001 - see `log_failure`
            log_failure(log, "runs_not_written_yet", error, waiting=len(self._waiting))
            return False
        for _ in batch:
            self._waiting.popleft()
        return True


class _Rates:
    """How many runs of one deployment may still be recorded."""

    def __init__(self) -> None:
        self.samples = Gcra(SAMPLES, share=SAMPLES.quota)
        self.failures = Gcra(FAILURES, share=FAILURES.quota)
