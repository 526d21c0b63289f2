"""What the gateway measures. Labels are resolved at a deployment's first call, not at each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from protos.errors import ErrorCode
from telemetry.instruments import Counter, Histogram, MetricFamily, Registry

STAGES = ("auth", "parse", "queue", "infer", "serialise")
"""The parts of a fast call, in order. Queue and infer are the inference server's own clock."""


DEPLOYMENT_LABEL = "deployment"
"""The label with a deployment's id."""


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


@dataclass(frozen=True, slots=True)
class CallMetrics:
    """The instruments of one deployment in one mode."""

    requests: MetricFamily[Counter]
    seconds: Histogram
    deployment: str
    mode: str
    ok: Counter

    def answered(self, status: int, seconds: float) -> None:
        """Count a call that was answered with `status` after `seconds`."""
        self._count_status(status)
        self.seconds.observe(seconds)

    def count(self, calls: Sequence[CallRecord]) -> None:
        """Count answered calls."""
        for call in calls:
            self._count_status(call.status)
        self.seconds.observe_many([call.ended - call.began for call in calls])

    def _count_status(self, status: int) -> None:
        if status == 200:  # noqa: PLR2004 - HTTP's own number
            self.ok.value += 1
        else:
            self.requests.child(self.deployment, self.mode, str(status)).add()


class GatewayMetrics:
    """The registry of one gateway process."""

    def __init__(self) -> None:
        self.registry = Registry()
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
        stages = self.registry.histogram(
            "gateway_stage_seconds", "Time that one stage of a fast call took.", ("stage",)
        )
        self.auth, self.parse, self.queue, self.infer, self.serialise = (
            stages.child(stage) for stage in STAGES
        )
        self._run_stages = self.registry.histogram(
            "run_stage_seconds",
            "Time that sync and async runs waited to begin (queue), for an inference server (boot),"
            " and took (run).",
            ("mode", "stage"),
        )
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

    def count_stages(self, timings: Sequence[Sequence[float]]) -> None:
        """Count what each stage took in these fast calls, which have all of them."""
        stages = (self.auth, self.parse, self.queue, self.infer, self.serialise)
        for histogram, seconds in zip(stages, zip(*timings, strict=True), strict=False):
            histogram.observe_many(seconds)

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

    def observe_run_stage(self, mode: str, stage: str, seconds: float) -> None:
        """Count what a stage of a sync or async run took."""
        self._run_stages.child(mode, stage).observe(seconds)

    def for_deployment(self, deployment: str, mode: str) -> CallMetrics:
        """Return the instruments of a deployment in a mode.

        Pass only names of existing deployments, never client input.
        """
        found = self._call_metrics.get((deployment, mode))
        if found is None:
            found = CallMetrics(
                requests=self._requests,
                seconds=self._seconds.child(deployment, mode),
                deployment=deployment,
                mode=mode,
                ok=self._requests.child(deployment, mode, "200"),
            )
            self._call_metrics[deployment, mode] = found
        return found

    def remove_deployment(self, deployment: str) -> None:
        """Remove the series of a deleted deployment, for good."""
        for key in [each for each in self._call_metrics if each[0] == deployment]:
            del self._call_metrics[key]
        self.registry.remove_series(DEPLOYMENT_LABEL, deployment)
