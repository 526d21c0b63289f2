"""The periodic sweep over the rows of runs, and the metrics that it maintains."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from itertools import product
from time import monotonic

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.deployments.settings import DeploymentType, ExecutionMode
from gateway.execution.launcher import RunLauncher, queue_of
from gateway.execution.lease_owner import has_ended
from gateway.runs.cleanup import DeletedOwnerCleanup
from gateway.runs.run import Backlog, RunStatus
from gateway.runs.storage_usage import StorageCounts
from gateway.runs.store import RunStore
from gateway.storage.failures import log_failure
from telemetry.instruments import MAX_SERIES, Registry
from telemetry.logs import logger

_TICK_SECONDS = 0.5
_PUBLISH_SECONDS = 1.0
_COUNT_SECONDS = 5.0
_BACKLOG_PAUSE = 50
"""Between two counts of the backlog: so many times what one takes, 1 to 3 µs per queued run."""
_REAP_SECONDS = 2.0
_CLEANUP_SECONDS = 60.0
_GRACE_SECONDS = 1.0
"""Reap only leases that ended at least that long ago."""
_LONG_GRACE_SECONDS = 10.0
"""The same after a database failure, so that live processes can renew their leases first."""
_MODES = (ExecutionMode.SYNC, ExecutionMode.ASYNC)
_MANY_MESSAGES = 1000
"""In a queue, from which on it is not compared with the runs that should be in it."""
_LONG_DUE_SECONDS = 1800.0
"""After which a run is published again although the queue seems to have it."""
_MOST = 500
"""Runs that one look publishes again."""
_SLOW_SECONDS = 2.0
"""A step that takes longer counts as a database failure: others could not renew their leases."""

log = logger("gateway.execution.sweeper")


class RunMetrics(Collector):
    """Unfinished runs by state and stored bytes, as last counted by the sweep, and reaped runs.

    The counts are those of the database, so they must not be added up over processes. Reaped runs
    are counted per process, in its `registry`.
    """

    def __init__(
        self, registry: Registry, *, max_stored_bytes: int, max_series: int = MAX_SERIES
    ) -> None:
        self._reaped = registry.counter(
            "run_lease_reaped_total",
            "Runs whose lease ended because their process is gone: requeued, or failed.",
            ("outcome",),
        )
        self._counts: Mapping[RunStatus, int] = {}
        self._stored_bytes: int | None = None
        self._max_stored_bytes = max_stored_bytes
        self._max_series = max_series
        self._backlog: Sequence[Backlog] | None = None

    def set_counts(
        self, counts: Mapping[RunStatus, int], backlog: Sequence[Backlog], stored_bytes: int
    ) -> None:
        """Set the results of `RunStore.counts` and `backlog`, and what runs and events take."""
        self._counts = counts
        self._backlog = backlog
        self._stored_bytes = stored_bytes

    def add_reaped(self, *, requeued: int, lost: int) -> None:
        """Count the result of a `RunStore.reap`."""
        self._reaped.child("requeued").add(requeued)
        self._reaped.child("lost").add(lost)

    def collect(self) -> Iterator[Metric]:
        """Yield the unfinished runs by state, the backlog, and the bytes of stored runs."""
        states = GaugeMetricFamily("runs_in_state", "Unfinished runs by state.", labels=("state",))
        for status, count in self._counts.items():
            states.add_metric((status,), count)
        yield states
        if self._backlog is not None:
            yield from _backlog_metrics(self._backlog, self._max_series)
        if self._stored_bytes is not None:
            yield GaugeMetricFamily(
                "run_storage_bytes", "Bytes of stored runs and events.", value=self._stored_bytes
            )
        yield GaugeMetricFamily(
            "run_storage_limit_bytes",
            "Bytes of stored runs and events above which new runs are refused.",
            value=self._max_stored_bytes,
        )


def _backlog_metrics(backlog: Sequence[Backlog], max_series: int) -> Iterator[Metric]:
    """Yield the queued runs of the deployments with the most, and the age of the oldest of all."""
    runs = GaugeMetricFamily(
        "run_backlog",
        "Queued runs by deployment; only of those that have some.",
        labels=("deployment", "mode", "type"),
    )
    most = sorted(backlog, key=lambda each: each.runs, reverse=True)
    for each in most[:max_series]:
        runs.add_metric((each.deployment_id, each.mode, each.type), each.runs)
    yield runs
    oldest = GaugeMetricFamily(
        "run_backlog_oldest_seconds",
        "Time since the oldest queued run was accepted; 0: none waits.",
        labels=("mode", "type"),
    )
    for mode, kind in product(_MODES, DeploymentType):
        ages = [each.oldest_seconds for each in backlog if (each.mode, each.type) == (mode, kind)]
        oldest.add_metric((mode, kind), max(ages, default=0.0))
    yield oldest


class RunSweeper:
    """Runs in every gateway process. Each step is idempotent, so several may sweep at once."""

    def __init__(
        self,
        store: RunStore,
        launcher: RunLauncher,
        storage: StorageCounts,
        cleanup: DeletedOwnerCleanup,
        metrics: RunMetrics,
    ) -> None:
        self._store = store
        self._launcher = launcher
        self._storage = storage
        self._cleanup = cleanup
        self._metrics = metrics
        self._backlog: Sequence[Backlog] = ()
        self._backlog_due = monotonic()
        self._last_failure = monotonic()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start sweeping."""
        self._task = asyncio.create_task(self._sweep(), name="sweep")

    async def stop(self) -> None:
        """Stop sweeping."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _sweep(self) -> None:
        tasks = [
            _PeriodicTask(self._mark_published, _TICK_SECONDS),
            _PeriodicTask(self._publish_due, _PUBLISH_SECONDS),
            _PeriodicTask(self._count, _COUNT_SECONDS),
            _PeriodicTask(self._reap, _REAP_SECONDS),
            _PeriodicTask(self._cleanup.sweep, _CLEANUP_SECONDS),
        ]
        while True:
            for task in tasks:
                if not await task.run_if_due():
                    self._last_failure = monotonic()
            await asyncio.sleep(_TICK_SECONDS)

    async def _mark_published(self) -> None:
        launched = self._launcher.take_launched()
        if launched:
            await self._store.mark_published(launched)

    async def _publish_due(self) -> None:
        """Hand over runs that no executor has claimed: the broker may have lost them.

        Where workers are behind, it has not: each queued run has a message in the queue. So only as
        many are published as the queue has fewer messages than there are queued runs, beside those
        that have been due for long, or were given back. Nothing is while ids wait for the broker.
        """
        for run in await self._store.due_for_publishing(DeploymentType.SERVER):
            self._launcher.launch(run.run_id, run.type, run.mode)
        publisher = self._launcher.publisher
        if publisher.waiting or not await self._store.due_for_publishing(
            DeploymentType.API, limit=1
        ):
            return
        depths = await publisher.depths()
        for mode in _MODES:
            missing = 0
            if depths is not None and (depth := depths[queue_of(mode)]) < _MANY_MESSAGES:
                queued = await self._store.count_queued(mode, at_most=depth + _MOST)
                missing = queued - depth
            late = await self._store.due_for_publishing(
                DeploymentType.API,
                mode,
                older_than=0.0 if missing > 0 else _LONG_DUE_SECONDS,
                limit=missing if missing > 0 else _MOST,
            )
            if late:  # at once, for other gateways look, too
                await self._store.mark_published([run.run_id for run in late])
            for run in late:
                self._launcher.launch(run.run_id, run.type, run.mode)

    async def _reap(self) -> None:
        """Requeue or fail runs whose process is gone, and fail those past their queue timeout."""
        # While the database was away, no process could renew its leases.
        stable = monotonic() - self._last_failure > _LONG_GRACE_SECONDS
        reaped = await self._store.reap(
            grace=_GRACE_SECONDS if stable else _LONG_GRACE_SECONDS,
            ended_owners=[owner for owner in await self._store.lease_owners() if has_ended(owner)],
        )
        expired = await self._store.expire_queued()
        for run in reaped.requeued:
            self._launcher.launch(run.run_id, run.type, run.mode)
        self._metrics.add_reaped(requeued=len(reaped.requeued), lost=len(reaped.lost))
        if reaped.requeued or reaped.lost or expired:
            log.warning(
                "runs_reaped",
                requeued=len(reaped.requeued),
                lost=len(reaped.lost),
                expired=len(expired),
            )

    async def _count(self) -> None:
        stored_bytes = await self._storage.add_changes()
        counts = await self._store.counts()
        if not counts[RunStatus.QUEUED]:
            self._backlog = ()
        elif (began := monotonic()) >= self._backlog_due:
            self._backlog = await self._store.backlog()
            self._backlog_due = monotonic() + _BACKLOG_PAUSE * (monotonic() - began)
        self._metrics.set_counts(counts, self._backlog, stored_bytes)


class _PeriodicTask:
    """One step of the sweep and its schedule. It is retried after the database was away."""

    def __init__(self, step: Callable[[], Awaitable[None]], seconds: float) -> None:
        self._step = step
        self._seconds = seconds
        self._due = monotonic()
        self._failing = False

    async def run_if_due(self) -> bool:
        """Run the step if it is due; return False if the database failed, or was very slow."""
        began = monotonic()
        if began < self._due:
            return True
        self._due = began + self._seconds
        try:
            await self._step()
        except Exception as error:  # noqa: BLE001 - see `log_failure`
            if not self._failing:
                log_failure(log, "sweep_failed", error)
            self._failing = True
            return False
        self._failing = False
        return monotonic() - began <= _SLOW_SECONDS
