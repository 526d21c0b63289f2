"""What is counted and recorded about calls, after they are answered.

An answered call is appended to a list, and nothing else happens while its client waits. After
`_MAX_CALLS` or a moment, and before anything is read, the list is drained: into the metrics, the
usage meter, the use of keys, the runs of a sample of the fast calls, the log, and the calls that
can be looked up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gateway.auth.key_usage import KeyUsageRecorder
from gateway.deployments.live_deployment import LiveDeployment
from gateway.deployments.settings import ExecutionMode
from gateway.fast_path.call_log import CallLog
from gateway.fast_path.call_record import DeploymentCallRecord
from gateway.fast_path.call_spans import CallSpans
from gateway.fast_path.call_watches import CallWatches
from gateway.fast_path.kept_calls import KeptCalls
from gateway.fast_path.recorder import RunRecorder
from gateway.fast_path.routes import ResolvedRoute
from gateway.metrics import STAGES, CallMetrics, GatewayMetrics
from gateway.runs.run import RunStatus
from gateway.usage.meter import UsageMeter

_DRAIN_SECONDS = 0.05
_MAX_CALLS = 100
"""All other calls wait while these are counted: a few tenths of a millisecond."""


class Accounting:
    """The calls that were answered and not yet counted. For one event loop."""

    def __init__(
        self,
        metrics: GatewayMetrics,
        usage: UsageMeter,
        key_usage: KeyUsageRecorder,
        recorder: RunRecorder,
        *,
        watches: CallWatches,
        kept_calls: KeptCalls,
        call_log: CallLog | None,
        spans: CallSpans | None,
    ) -> None:
        self._metrics = metrics
        self._usage = usage
        self._key_usage = key_usage
        self._recorder = recorder
        self._watches = watches
        self._kept_calls = kept_calls
        self._spans = spans
        self._call_log = call_log
        self._calls: list[DeploymentCallRecord] = []
        self._timer: asyncio.TimerHandle | None = None

    def add(self, call: DeploymentCallRecord) -> None:
        """Have an answered call counted: about 0.1 µs."""
        self._calls.append(call)
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(_DRAIN_SECONDS, self._on_timer)
        if len(self._calls) == _MAX_CALLS:
            asyncio.get_running_loop().call_soon(self.drain)

    def _on_timer(self) -> None:
        self._timer = None
        self.drain()

    def drain(self) -> None:
        """Count all calls that were answered: about 1.5 µs for each of many."""
        calls, self._calls = self._calls, []
        self._show(calls)
        for route, group in _by_route(calls).items():
            requests = [call for call in group if call.is_request]
            if route is None:  # refused before it was known what they call
                self._metrics.for_deployment("", "").count(requests)
                continue
            deployment = route.deployment
            if route.rollout_counts is not None:
                route.rollout_counts.count([call for call in group if call.rollout_began])
            metrics = self._metrics.for_deployment(deployment.id, deployment.mode)
            metrics.count(requests)
            key_id = route.identity.key_id or ""
            if key_id:
                self._metrics.count_key_calls(key_id, len(requests))
            if deployment.mode is ExecutionMode.FAST:
                self._count_fast(deployment, metrics, group)
            self._usage.count(deployment, key_id, requests)
            self._count_keys(requests)
            unrecorded = [call for call in group if call.may_be_sampled]
            if unrecorded:
                self._recorder.sample(deployment, unrecorded)

    def _show(self, calls: list[DeploymentCallRecord]) -> None:
        """Pass the calls to those that show single ones."""
        if self._watches.deployments:
            self._watches.take(calls)
        if self._spans is not None:  # first, as it chooses the traces that others name
            self._spans.record(calls)
            self._exemplify(calls)
        if self._call_log is not None:
            self._call_log.take(calls)
        self._kept_calls.take(calls)

    def _exemplify(self, calls: Sequence[DeploymentCallRecord]) -> None:
        """Note traces of sampled calls beside their durations."""
        for call in calls:
            if call.route is not None and call.trace is not None and call.trace.sampled:
                deployment = call.route.deployment
                metrics = self._metrics.for_deployment(deployment.id, deployment.mode)
                metrics.seconds.exemplify(call.ended - call.began, call.trace.trace_id_text)

    def _count_fast(
        self, deployment: LiveDeployment, metrics: CallMetrics, calls: list[DeploymentCallRecord]
    ) -> None:
        """Count fast calls that were executed as runs, whether or not they are stored as such."""
        name = (deployment.id, deployment.mode, deployment.type)
        timed = [call for call in calls if len(call.stages) == len(STAGES)]
        if timed:
            metrics.count_stages([call.stages for call in timed])
            completed = sum(call.error is None for call in timed)
            self._metrics.count_runs(name, RunStatus.COMPLETED, "", completed)
        if len(timed) < len(calls):
            for call in calls:
                if call.is_failed_run and call.error is not None:
                    self._metrics.count_runs(name, RunStatus.FAILED, call.error)

    def _count_keys(self, calls: list[DeploymentCallRecord]) -> None:
        """Count the use of keys; an address is looked up once for a head that is repeated."""
        for call in calls:
            resolution = call.resolution
            if resolution is None:
                continue
            uses = resolution.uses
            if uses is None:
                uses = resolution.uses = resolution.key.uses_from(call.client_address)
            if uses.count:
                uses.count += 1
            else:
                self._key_usage.count(uses)


def _by_route(
    calls: Sequence[DeploymentCallRecord],
) -> dict[ResolvedRoute | None, list[DeploymentCallRecord]]:
    by_route: dict[ResolvedRoute | None, list[DeploymentCallRecord]] = {}
    for call in calls:
        group = by_route.get(call.route)
        if group is None:
            by_route[call.route] = [call]
        else:
            group.append(call)
    return by_route
