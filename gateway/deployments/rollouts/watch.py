"""Counts the calls of both versions in a gateway, and has them judged twice a second."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from math import inf
from time import perf_counter
from typing import Literal, Protocol

from gateway.deployments.rollout_settings import Checks, RolloutState
from gateway.deployments.rollouts.judgement import slowest_allowed
from gateway.deployments.rollouts.observations import Calls, Observations, RolloutCall
from gateway.deployments.rollouts.service import RolloutService
from gateway.deployments.settings import ExecutionMode
from gateway.metrics import GatewayMetrics
from gateway.storage.failures import log_failure
from gateway.storage.tables import Rollout
from telemetry.logs import logger

_SECONDS = 0.5
_TURNS_WITHOUT_CALLS = 10
"""After so many turns a rollout without calls is looked at, too: it may be due, or have ended."""
_COMPLETED, _CANCELLED = "completed", "cancelled"
"""Statuses of runs."""

Role = Literal["baseline", "candidate"]

log = logger("gateway.deployments.rollouts")


class EndedRun(Protocol):
    """A run that has ended."""

    deployment_id: str
    version: int
    mode: str
    status: str
    created_at: datetime
    duration_seconds: float | None


class VersionCounts:
    """What this process has seen of one version's calls and not yet written."""

    def __init__(self, deployment_id: str, role: Role, metrics: GatewayMetrics) -> None:
        self._deployment_id = deployment_id
        self._role = role
        self._metrics = metrics
        self._unwritten = Calls()
        self._unanswered: dict[RolloutCall, None] = {}

    def begin(self, call: RolloutCall) -> None:
        """Take a call for which the version was chosen; `count` or `leave` it later."""
        call.rollout_began = perf_counter()
        self._unanswered[call] = None

    def count(self, calls: Sequence[RolloutCall]) -> None:
        """Count calls that it has answered."""
        for call in calls:
            self._unanswered.pop(call, None)
        self._count(*self._unwritten.count(calls))

    def leave(self, call: RolloutCall) -> None:
        """Forget a call that says nothing about the version."""
        self._unanswered.pop(call, None)

    def count_run(self, seconds: float | None, *, failed: bool) -> None:
        """Count a run that has ended after its call was answered."""
        self._unwritten.add(seconds or 0.0, failed=failed)
        self._count(int(not failed), int(failed))

    def take(self, patience: float) -> Calls:
        """Return what is not written; `late` are the calls that have waited for `patience`."""
        taken, self._unwritten = self._unwritten, Calls()
        latest = perf_counter() - patience
        taken.late = sum(
            call.rollout_began < latest and not call.ended for call in self._unanswered
        )
        return taken

    def give_back(self, calls: Calls) -> None:
        """Take back what could not be written."""
        self._unwritten.merge(calls)

    def _count(self, ok: int, failed: int) -> None:
        self._metrics.count_rollout_calls(self._deployment_id, self._role, ok, failed)


class RolloutCounts:
    """What this process has seen of a rollout and not yet written."""

    def __init__(self, deployment_id: str, metrics: GatewayMetrics) -> None:
        self.deployment_id = deployment_id
        self.baseline = VersionCounts(deployment_id, "baseline", metrics)
        self.candidate = VersionCounts(deployment_id, "candidate", metrics)
        self.joined = False
        """Whether this process can reach the candidate, and so takes part."""
        self.copies = 0
        """Calls that were copied for the other version, and are not answered yet."""
        self.patience = inf
        """Seconds after which a call that is not answered is late; known once some are."""
        self.turns_without_calls = 0
        self._metrics = metrics
        self._comparisons = Observations()

    def compare(self, difference: str | None) -> None:
        """Count two outputs; None: they are equal."""
        self._comparisons.compare(difference)
        self._metrics.count_rollout_comparison(self.deployment_id, equal=difference is None)

    def take(self) -> Observations:
        """Return what is not written."""
        taken, self._comparisons = self._comparisons, Observations()
        taken.baseline = self.baseline.take(self.patience)
        taken.candidate = self.candidate.take(self.patience)
        return taken

    def give_back(self, seen: Observations) -> None:
        """Take back what could not be written."""
        self.baseline.give_back(seen.baseline)
        self.candidate.give_back(seen.candidate)
        seen.baseline, seen.candidate = Calls(), Calls()
        self._comparisons.merge(seen)


class RolloutWatch:
    """The counts of all rollouts in this process. For one event loop."""

    def __init__(self, service: RolloutService, metrics: GatewayMetrics) -> None:
        self._service = service
        self._metrics = metrics
        self._counts: dict[str, RolloutCounts] = {}
        self._task: asyncio.Task[None] | None = None

    def counts(self, deployment_id: str, rollout_id: str) -> RolloutCounts:
        """Return the counts of a rollout."""
        found = self._counts.get(rollout_id)
        if found is None:
            found = self._counts[rollout_id] = RolloutCounts(deployment_id, self._metrics)
        return found

    async def count_runs(self, runs: Sequence[EndedRun]) -> None:
        """Count async runs that have ended, in any process; sync ones are counted as calls."""
        ended = [run for run in runs if run.mode == ExecutionMode.ASYNC]
        try:
            rollouts = await self._service.running({run.deployment_id for run in ended})
        except Exception as error:  # noqa: BLE001 - see `log_failure`
            log_failure(log, "rollout_runs_not_counted", error, runs=len(ended))
            return
        for run in ended:
            rollout = rollouts.get(run.deployment_id)
            if rollout is None or run.created_at < rollout.started_at or run.status == _CANCELLED:
                continue
            counts = self.counts(run.deployment_id, rollout.id)
            of_version = {rollout.baseline: counts.baseline, rollout.candidate: counts.candidate}
            if run.version in of_version:
                failed = run.status != _COMPLETED
                of_version[run.version].count_run(run.duration_seconds, failed=failed)

    def start(self) -> None:
        """Begin to write."""
        self._task = asyncio.create_task(self._run(), name="rollout watch")

    async def stop(self) -> None:
        """Stop. What was counted in the last half second is not written."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_SECONDS)
            for rollout_id, counts in list(self._counts.items()):
                await self._write(rollout_id, counts)

    async def _write(self, rollout_id: str, counts: RolloutCounts) -> None:
        seen = counts.take()
        if not (seen.baseline.says_something or seen.candidate.says_something or seen.compared):
            counts.turns_without_calls += 1
            if counts.turns_without_calls < _TURNS_WITHOUT_CALLS:
                return
        counts.turns_without_calls = 0
        try:
            rollout = await self._service.observe(counts.deployment_id, rollout_id, seen)
        except Exception as error:  # noqa: BLE001 - see `log_failure`
            log_failure(log, "rollout_not_observed", error)
            if isinstance(error, ValueError):  # another release has written the row
                self._counts.pop(rollout_id, None)
            else:
                counts.give_back(seen)
            return
        if rollout is not None and rollout.state == RolloutState.RUNNING:
            counts.patience = _patience(rollout)
            return
        self._counts.pop(rollout_id, None)
        if rollout is not None:
            self._metrics.count_rollout_end(counts.deployment_id, rollout.cause or rollout.state)


def _patience(rollout: Rollout) -> float:
    total = Observations.model_validate(rollout.observed)
    return slowest_allowed(total, Checks.model_validate(rollout.checks))
