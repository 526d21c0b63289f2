"""Counts the calls of both versions in a gateway, and has them judged twice a second."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from time import perf_counter
from typing import Literal, Protocol

from gateway.deployments.rollout_settings import Checks, RolloutState
from gateway.deployments.rollouts.judgement import slowest_allowed
from gateway.deployments.rollouts.observations import Calls, Observations
from gateway.deployments.rollouts.service import RolloutService
from gateway.deployments.settings import ExecutionMode
from gateway.metrics import CallRecord, GatewayMetrics
from gateway.storage.failures import log_failure
from gateway.storage.tables import Rollout
from telemetry.logs import logger

_SECONDS = 0.5
_FIRST_PATIENCE = 1.0
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
    duration_seconds: float | None


class RolloutCounts:
    """What this process has seen of a rollout and not yet written."""

    def __init__(self, deployment_id: str, metrics: GatewayMetrics) -> None:
        self.deployment_id = deployment_id
        self.unwritten = Observations()
        self.copies = 0
        """Calls that were copied for the other version, and are not answered yet."""
        self.patience = _FIRST_PATIENCE
        """Seconds after which an unanswered call of the candidate is counted as it is."""
        self._metrics = metrics
        self._unanswered: dict[CallRecord, None] = {}
        """Calls of the candidate, oldest first."""

    def begin(self, call: CallRecord) -> None:
        """Take a call that the candidate is to answer."""
        self._unanswered[call] = None

    def count(self, role: Role, calls: Sequence[CallRecord]) -> None:
        """Count calls that one of the versions has answered, except with a run that goes on."""
        if role == "candidate":
            calls = [call for call in calls if self._unanswered.pop(call, call) is None]
        calls = [call for call in calls if call.status != HTTPStatus.ACCEPTED]
        counted: Calls = getattr(self.unwritten, role)
        counted.count(calls)
        failed = sum(call.error is not None for call in calls)
        self._metrics.count_rollout_calls(self.deployment_id, role, len(calls) - failed, failed)

    def count_run(self, role: Role, seconds: float | None, *, failed: bool) -> None:
        """Count a run that has ended after its call was answered."""
        counted: Calls = getattr(self.unwritten, role)
        counted.add(seconds or 0.0, failed=failed)
        self._metrics.count_rollout_calls(self.deployment_id, role, int(not failed), int(failed))

    def count_unanswered(self) -> None:
        """Count what has waited for longer than it should, as calls that took as long.

        Else a candidate that answers nothing would never be judged.
        """
        latest = perf_counter() - self.patience
        for call in [each for each in self._unanswered if each.began < latest]:
            del self._unanswered[call]
            self.unwritten.candidate.add(perf_counter() - call.began)

    def compare(self, difference: str | None) -> None:
        """Count two outputs; None: they are equal."""
        self.unwritten.compare(difference)
        self._metrics.count_rollout_comparison(self.deployment_id, equal=difference is None)


@dataclass(frozen=True, slots=True)
class VersionCounts:
    """The part of the counts that one version's calls belong to."""

    counts: RolloutCounts
    role: Role

    def count(self, calls: Sequence[CallRecord]) -> None:
        """Count calls that it has answered."""
        self.counts.count(self.role, calls)


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
        rollouts = await self._service.running({run.deployment_id for run in ended})
        for run in ended:
            rollout = rollouts.get(run.deployment_id)
            if rollout is None or run.status == _CANCELLED:
                continue
            role = _role(rollout, run.version)
            if role is not None:
                counts = self.counts(run.deployment_id, rollout.id)
                failed = run.status != _COMPLETED
                counts.count_run(role, run.duration_seconds, failed=failed)

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
                counts.count_unanswered()
                if not counts.unwritten.empty:
                    await self._write(rollout_id, counts)

    async def _write(self, rollout_id: str, counts: RolloutCounts) -> None:
        seen, counts.unwritten = counts.unwritten, Observations()
        try:
            rollout = await self._service.observe(counts.deployment_id, rollout_id, seen)
        except Exception as error:  # noqa: BLE001 - see `log_failure`
            log_failure(log, "rollout_not_observed", error)
            counts.unwritten.merge(seen)
            return
        if rollout is not None and rollout.state == RolloutState.RUNNING:
            total = Observations.model_validate(rollout.observed)
            counts.patience = slowest_allowed(total, Checks.model_validate(rollout.checks))
            return
        self._counts.pop(rollout_id, None)
        if rollout is not None:
            self._metrics.count_rollout_end(counts.deployment_id, rollout.cause or rollout.state)


def _role(rollout: Rollout, version: int) -> Role | None:
    if version == rollout.candidate:
        return "candidate"
    return "baseline" if version == rollout.baseline else None
