"""The one place that knows that execution modes exist."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol

from gateway.deployments.live import LiveDeployment
from gateway.deployments.modes import ExecutionMode
from gateway.errors import GatewayError
from gateway.metrics import GatewayMetrics, Timings
from gateway.trigger.answers import fast_body
from gateway.trigger.body import InputData, parse_body
from gateway.trigger.fast import FastCall
from gateway.upstream.predictor import Predictor
from gateway.upstream.reply import Reply
from gateway.upstream.servers import Servers
from protos.errors import ErrorCode

_KEPT_CALLS = 10_000


@dataclass(slots=True, kw_only=True)
class Trigger:
    """One call, authenticated and complete."""

    deployment: LiveDeployment
    run_id: str
    headers: dict[bytes, bytes]
    body: bytes
    timeout: float
    """Seconds that the answer may take."""
    began: float
    """`perf_counter()` when its last header had arrived."""
    authenticated: float
    """`perf_counter()` when the key was known to be good."""
    parse_seconds: float = 0.0
    """What it took to make tensors of the body."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a call is answered with."""

    status: int
    body: bytes
    timings: Timings


Done = Callable[[Result | Exception], None]


class Pending(Protocol):
    """A call that waits for its result."""

    def abandon(self) -> None:
        """Take note that nobody waits any more; `done` is not called then."""


class Dispatcher:
    """Answers triggers in their deployment's mode."""

    def __init__(self, servers: Servers, metrics: GatewayMetrics) -> None:
        self._servers = servers
        self._metrics = metrics
        self._fast_calls: dict[str, FastCall] = {}

    def start(self, trigger: Trigger, done: Done) -> Pending:
        """Have `trigger` answered; `done` gets the result, or why the server gives none.

        Raises:
            GatewayError: NOT_IMPLEMENTED for the modes that need the flow engine; otherwise what
                is wrong with the body, or why there is no inference server. `done` is not called.
        """
        mode = trigger.deployment.mode
        if mode is ExecutionMode.FAST:
            return self._fast(trigger, done)
        message = (
            f"execution mode '{mode}' is not available in this version: "
            "set the deployment's execution_mode to 'fast'"
        )
        raise GatewayError(ErrorCode.NOT_IMPLEMENTED, message)

    def _fast(self, trigger: Trigger, done: Done) -> Pending:
        before = perf_counter()
        input_data: InputData = parse_body(trigger.body, trigger.headers)
        call = self._fast_call(trigger.deployment)
        form, raws = call.request(input_data, trigger.timeout)
        trigger.parse_seconds = perf_counter() - before
        predictor = self._servers.predictor(call.plan.model, call.plan.version)
        fast = _FastRun(trigger, call, self._metrics, done, predictor)
        fast.number = predictor.start(form, raws, trigger.timeout, fast.replied)
        return fast

    def _fast_call(self, deployment: LiveDeployment) -> FastCall:
        plan = deployment.fast_plan
        assert plan is not None, "a deployment is saved as fast only with a plan"
        found = self._fast_calls.get(deployment.id)
        if found is None or found.plan is not plan:
            if len(self._fast_calls) >= _KEPT_CALLS:
                self._fast_calls.clear()
            found = self._fast_calls[deployment.id] = FastCall(plan)
        return found


class _FastRun:
    """A fast call that waits for the inference server."""

    __slots__ = ("_call", "_done", "_metrics", "_predictor", "_trigger", "number")

    def __init__(
        self,
        trigger: Trigger,
        call: FastCall,
        metrics: GatewayMetrics,
        done: Done,
        predictor: Predictor,
    ) -> None:
        self._trigger = trigger
        self._call = call
        self._metrics = metrics
        self._done = done
        self._predictor = predictor
        self.number = b""

    def abandon(self) -> None:
        """See Pending."""
        self._predictor.abandon(self.number)

    def replied(self, reply: Reply | GatewayError) -> None:
        """Take the inference server's answer."""
        if isinstance(reply, GatewayError):
            self._done(reply)
            return
        try:
            result = self._result(reply)
        except Exception as error:  # noqa: BLE001 - the edge knows which are ours
            self._done(error)
        else:
            self._done(result)
            self._metrics.stages(result.timings)  # the caller has its answer already

    def _result(self, reply: Reply) -> Result:
        answered = perf_counter()
        trigger = self._trigger
        output_data = self._call.output_data(reply)
        queue, infer = reply.seconds()
        ended = perf_counter()
        auth = trigger.authenticated - trigger.began
        body = fast_body(
            output_data, ended - trigger.began, trigger.run_id, trigger.deployment.response_format
        )
        return Result(200, body, (auth, trigger.parse_seconds, queue, infer, ended - answered))
