"""What the gateway measures. Children are resolved at a deployment's first call, not at each."""

from __future__ import annotations

from dataclasses import dataclass

from telemetry.instruments import Counter, Histogram, MetricFamily, Registry

STAGES = ("auth", "parse", "queue", "infer", "serialise")
"""The parts of a fast call, in order. Queue and infer are the inference server's own clock."""

Timings = tuple[float, float, float, float, float]
"""Seconds in each of STAGES."""


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
        if status == 200:  # noqa: PLR2004 - HTTP's own number
            self.ok.value += 1
        else:
            self.requests.child(self.deployment, self.mode, str(status)).add()
        self.seconds.observe(seconds)


class GatewayMetrics:
    """The registry of one gateway process."""

    def __init__(self) -> None:
        self.registry = Registry()
        self._requests = self.registry.counter(
            "gateway_requests_total",
            "Calls answered, by deployment (or model), mode and HTTP status.",
            ("deployment", "mode", "code"),
        )
        self._seconds = self.registry.histogram(
            "gateway_request_seconds",
            "Time from a call's last header to its answer's last byte.",
            ("deployment", "mode"),
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
            "Fast calls that were answered and left out of the list of runs: too many at once.",
            (),
        ).child()
        self.events_lost = self.registry.counter(
            "webhook_events_lost_total",
            "Fast calls that were answered and whose webhook hears nothing: too many at once.",
            (),
        ).child()
        self._meters: dict[tuple[str, str], CallMetrics] = {}

    def stages(self, timings: Timings) -> None:
        """Count what each stage of a fast call took."""
        auth, parse, queue, infer, serialise = timings
        self.auth.observe(auth)
        self.parse.observe(parse)
        self.queue.observe(queue)
        self.infer.observe(infer)
        self.serialise.observe(serialise)

    def run_took(self, mode: str, stage: str, seconds: float) -> None:
        """Count what a stage of a sync or async run took."""
        self._run_stages.child(mode, stage).observe(seconds)

    def meters(self, deployment: str, mode: str) -> CallMetrics:
        """Return the instruments of a deployment in a mode.

        Only names that exist may come in, never what a caller made up: each is kept for ever.
        """
        found = self._meters.get((deployment, mode))
        if found is None:
            found = CallMetrics(
                requests=self._requests,
                seconds=self._seconds.child(deployment, mode),
                deployment=deployment,
                mode=mode,
                ok=self._requests.child(deployment, mode, "200"),
            )
            self._meters[deployment, mode] = found
        return found
