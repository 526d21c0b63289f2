"""What the gateway measures. Labels are resolved at a deployment's first call, not at each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from protos.errors import ErrorCode
from telemetry.instruments import (
    MAX_SERIES,
    RUN_SECONDS,
    Counter,
    Histogram,
    MetricFamily,
    Registry,
)

STAGES = ("auth", "parse", "queue", "infer", "serialise")
"""The parts of a fast call, in order. Queue and infer are the inference server's own clock."""


DEPLOYMENT_LABEL = "deployment"
"""The label with a deployment's id."""
KEY_LABEL = "key"
"""The label with an API key's id."""

_RUN_LABELS = (DEPLOYMENT_LABEL, "mode", "type")


class NodeMetrics:
    """The durations of nodes, in whatever process the run is executed."""

    def __init__(self, registry: Registry) -> None:
        self._seconds = registry.histogram(
            "run_node_seconds",
            "Time that nodes of runs took, with their retries, in gateways and workers.",
            (DEPLOYMENT_LABEL, "node_type"),
        )

    def observe(self, deployment: str, node_type: str, seconds: float) -> None:
        """Count what a node of a run took."""
        self._seconds.child(deployment, node_type).observe(seconds)


class CallRecord:
    """An answered call, as metrics and usage count it. Times are by `perf_counter()`."""

    status = 0
    """The HTTP status."""
    error: ErrorCode | None = None
    """The code of the error that it was answered with."""
    began = 0.0
    """When its last header had arrived."""
    ended = 0.0
    stages: Sequence[float] = ()
    """Seconds in the first, or in all, of STAGES."""


@dataclass(slots=True)
class CallMetrics:
    """The instruments of one deployment in one mode."""

    requests: MetricFamily[Counter]
    errors: MetricFamily[Counter]
    stages: MetricFamily[Histogram]
    seconds: Histogram
    deployment: str
    mode: str
    ok: Counter
    _stages: Sequence[Histogram] = field(default=(), init=False)

    def answered(self, status: int, seconds: float, error: ErrorCode | None = None) -> None:
        """Count a call that was answered with `status`, and `error`, after `seconds`."""
        self._count_answer(status, error)
        self.seconds.observe(seconds)

    def count(self, calls: Sequence[CallRecord]) -> None:
        """Count answered calls."""
        for call in calls:
            self._count_answer(call.status, call.error)
        self.seconds.observe_many([call.ended - call.began for call in calls])

    def count_stages(self, timings: Sequence[Sequence[float]]) -> None:
        """Count what each stage took in fast calls, which have all of them."""
        if not self._stages:  # only deployments of mode fast have any
            self._stages = [self.stages.child(self.deployment, stage) for stage in STAGES]
        for histogram, seconds in zip(self._stages, zip(*timings, strict=True), strict=False):
            histogram.observe_many(seconds)

    def _count_answer(self, status: int, error: ErrorCode | None) -> None:
        if status == 200:  # noqa: PLR2004 - HTTP's own number
            self.ok.value += 1
        else:
            self.requests.child(self.deployment, self.mode, str(status)).add()
            if error is not None:
                self.errors.child(self.deployment, self.mode, error).add()


class GatewayMetrics:
    """The registry of one gateway process."""

    def __init__(self, *, max_series: int = MAX_SERIES) -> None:
        """Let each metric have at most `max_series` series."""
        self.registry = Registry(max_series=max_series)
        self._requests = self.registry.counter(
            "gateway_requests_total",
            "Calls answered, by deployment (or model), mode and HTTP status.",
            (DEPLOYMENT_LABEL, "mode", "code"),
        )
        self._seconds = self.registry.histogram(
            "gateway_request_seconds",
            "Time from a call's last header to its answer's last byte.",
            (DEPLOYMENT_LABEL, "mode"),
        )
        self._errors = self.registry.counter(
            "gateway_errors_total",
            "Calls answered with an error, by deployment (or model), mode and error code.",
            (DEPLOYMENT_LABEL, "mode", "code"),
        )
        self._stages = self.registry.histogram(
            "gateway_stage_seconds",
            "Time that one stage of a fast call, or of one of a model, took.",
            (DEPLOYMENT_LABEL, "stage"),
        )
        self._key_calls = self.registry.counter(
            "gateway_key_calls_total",
            "Calls of deployments, by the id of their API key.",
            (KEY_LABEL,),
        )
        self._runs = self.registry.counter(
            "runs_total",
            "Runs that have ended, by status (completed, failed, cancelled) and error code.",
            (*_RUN_LABELS, "status", "code"),
        )
        self._run_seconds = self.registry.histogram(
            "run_seconds",
            "Time from the start of sync and async runs to their end.",
            _RUN_LABELS,
            RUN_SECONDS,
        )
        self._run_queue_seconds = self.registry.histogram(
            "run_queue_seconds",
            "Time from the acceptance of sync and async runs to their start, or their end without"
            " one.",
            _RUN_LABELS,
            RUN_SECONDS,
        )
        self._run_boot_seconds = self.registry.histogram(
            "run_boot_seconds",
            "Time that sync and async runs waited for an inference server to boot, if they did.",
            _RUN_LABELS,
            RUN_SECONDS,
        )
        self.nodes = NodeMetrics(self.registry)
        self.calls_uncounted = self.registry.counter(
            "usage_calls_uncounted_total",
            "Calls that were answered and left out of usage: the database was away for too long.",
        ).child()
        self.runs_unrecorded = self.registry.counter(
            "runs_unrecorded_total",
            "Fast calls that were answered, without a run's id, and left no run: by reason.",
            ("reason",),
        )
        self._refusals = self.registry.counter(
            "requests_refused_total",
            "Requests and connections refused before they were complete, because clients hold too "
            "much of the gateway, logins, because too many of an address wait, and runs, because "
            "too much is stored.",
            ("reason",),
        )
        self._suspended_keys = self.registry.counter(
            "keys_suspended_total",
            "Keys that were refused for a model for a while, because their calls had ended its "
            "process twice within a minute.",
            ("model",),
        )
        self._rollout_calls = self.registry.counter(
            "rollout_calls_total",
            "Calls of deployments with a rollout, by the version that answered (baseline is the "
            "live one) and outcome (ok, failed). A shadow's calls have no caller.",
            (DEPLOYMENT_LABEL, "version", "outcome"),
        )
        self._rollout_comparisons = self.registry.counter(
            "rollout_comparisons_total",
            "Outputs of both versions of a rollout that were compared, by result.",
            (DEPLOYMENT_LABEL, "result"),
        )
        self._rollouts_ended = self.registry.counter(
            "rollouts_ended_total",
            "Rollouts that have ended by themselves: promoted, or rolled back by the check that "
            "was failed (errors, latency, outputs).",
            (DEPLOYMENT_LABEL, "outcome"),
        )
        self._call_metrics: dict[tuple[str, str], CallMetrics] = {}

    def observe_stage(self, deployment: str, stage: str, seconds: float) -> None:
        """Count what a stage of a call of a deployment, or of an existing model, took."""
        self._stages.child(deployment, stage).observe(seconds)

    def count_refusal(self, reason: str) -> None:
        """Count a request or connection that was refused for `reason`, one of few."""
        self._refusals.child(reason).add()

    def count_suspended_key(self, model: str) -> None:
        """Count a key that is refused for a model for a while."""
        self._suspended_keys.child(model).add()

    def count_rollout_calls(self, deployment: str, version: str, ok: int, failed: int) -> None:
        """Count calls of a deployment with a rollout."""
        for outcome, calls in (("ok", ok), ("failed", failed)):
            if calls:
                self._rollout_calls.child(deployment, version, outcome).add(calls)

    def count_rollout_comparison(self, deployment: str, *, equal: bool) -> None:
        """Count two outputs that were compared."""
        self._rollout_comparisons.child(deployment, "equal" if equal else "different").add()

    def count_rollout_end(self, deployment: str, outcome: str) -> None:
        """Count a rollout that has ended by itself."""
        self._rollouts_ended.child(deployment, outcome).add()

    def count_key_calls(self, key_id: str, calls: int) -> None:
        """Count calls of deployments with an existing API key."""
        self._key_calls.child(key_id).add(calls)

    def count_runs(
        self, deployment: tuple[str, str, str], status: str, code: str, runs: int = 1
    ) -> None:
        """Count runs of a deployment (its id, mode and type) that have ended."""
        self._runs.child(*deployment, status, code).add(runs)

    def observe_run(
        self,
        deployment: tuple[str, str, str],
        *,
        queue: float,
        boot: float | None = None,
        run: float | None = None,
        trace_id: str | None = None,
    ) -> None:
        """Count the seconds of a sync or async run of a deployment (its id, mode and type).

        Without `boot`, it did not wait for a server; without `run`, it never started; without
        `trace_id`, it is in no trace.
        """
        self._run_queue_seconds.child(*deployment).observe(queue)
        if boot is not None:
            self._run_boot_seconds.child(*deployment).observe(boot)
        if run is not None:
            seconds = self._run_seconds.child(*deployment)
            seconds.observe(run)
            if trace_id is not None:
                seconds.exemplify(run, trace_id)

    def for_deployment(self, deployment: str, mode: str) -> CallMetrics:
        """Return the instruments of a deployment in a mode.

        Pass only names of existing deployments, never client input.
        """
        found = self._call_metrics.get((deployment, mode))
        if found is None:
            found = CallMetrics(
                requests=self._requests,
                errors=self._errors,
                stages=self._stages,
                seconds=self._seconds.child(deployment, mode),
                deployment=deployment,
                mode=mode,
                ok=self._requests.child(deployment, mode, "200"),
            )
            self._call_metrics[deployment, mode] = found
        return found

    def remove_key(self, key_id: str) -> None:
        """Remove the series of a deleted API key, for good."""
        self.registry.remove_series(KEY_LABEL, key_id)

    def remove_deployment(self, deployment: str) -> None:
        """Remove the series of a deleted deployment, for good."""
        self._call_metrics.clear()  # all: one that had no series of its own may get one now
        self.registry.remove_series(DEPLOYMENT_LABEL, deployment)
