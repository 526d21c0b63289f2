"""The one place that knows that execution modes exist."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter

from gateway.deployments.live import LiveDeployment
from gateway.deployments.modes import ExecutionMode
from gateway.errors import GatewayError
from gateway.metrics import GatewayMetrics
from gateway.trigger.answers import Timings, fast_body
from gateway.trigger.body import InputData, parse_body
from gateway.trigger.fast import FastCall
from gateway.upstream.servers import Servers
from protos.errors import ErrorCode
from protos.timings import INFER_NS, QUEUE_NS

_KEPT_CALLS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """One call, authenticated."""

    deployment: LiveDeployment
    run_id: str
    headers: dict[bytes, bytes]
    body: bytes
    began: float
    """`perf_counter()` when its last header had arrived."""
    authenticated: float
    """`perf_counter()` when the key was known to be good."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a call is answered with."""

    status: int
    body: bytes
    timings: Timings


class Dispatcher:
    """Answers triggers in their deployment's mode."""

    def __init__(self, servers: Servers, metrics: GatewayMetrics) -> None:
        self._servers = servers
        self._metrics = metrics
        self._fast_calls: dict[str, FastCall] = {}

    async def dispatch(self, trigger: Trigger) -> Result:
        """Return the answer.

        Raises:
            GatewayError: NOT_IMPLEMENTED for the modes that need the flow engine; otherwise what
                is wrong with the body, or why the inference server does not answer.
        """
        if trigger.deployment.execution_mode is ExecutionMode.FAST:
            return await self._fast(trigger)
        mode = trigger.deployment.execution_mode
        message = (
            f"execution mode '{mode}' is not available in this version: "
            "set the deployment's execution_mode to 'fast'"
        )
        raise GatewayError(ErrorCode.NOT_IMPLEMENTED, message)

    async def _fast(self, trigger: Trigger) -> Result:
        deployment = trigger.deployment
        metrics = self._metrics
        before = perf_counter()
        input_data: InputData = parse_body(trigger.body, trigger.headers)
        call = self._fast_call(deployment)
        request = call.request(input_data)
        parsed = perf_counter()
        predictor = self._servers.predictor(call.plan.model, call.plan.version)
        response = await predictor.infer(request, deployment.timeout_seconds)
        answered = perf_counter()
        queue = response.parameters[QUEUE_NS].int64_param * 1e-9
        infer = response.parameters[INFER_NS].int64_param * 1e-9
        output_data = call.output_data(response)
        ended = perf_counter()
        body = fast_body(
            output_data, ended - trigger.began, trigger.run_id, deployment.response_format
        )
        auth = trigger.authenticated - trigger.began
        timings = (auth, parsed - before, queue, infer, ended - answered)
        metrics.auth.observe(auth)
        metrics.parse.observe(timings[1])
        metrics.queue.observe(queue)
        metrics.infer.observe(infer)
        metrics.serialise.observe(timings[4])
        return Result(200, body, timings)

    def _fast_call(self, deployment: LiveDeployment) -> FastCall:
        plan = deployment.fast_plan
        assert plan is not None, "a deployment is saved as fast only with a plan"
        found = self._fast_calls.get(deployment.id)
        if found is None or found.plan is not plan:
            if len(self._fast_calls) >= _KEPT_CALLS:
                self._fast_calls.clear()
            found = self._fast_calls[deployment.id] = FastCall(plan)
        return found
