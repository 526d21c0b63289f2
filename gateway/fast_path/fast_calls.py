"""Fast calls: from `input_data` straight to the inference server, without the flow engine."""

from __future__ import annotations

from time import perf_counter

from gateway.deployments.fast_plan import FastPlan
from gateway.deployments.live_deployment import LiveDeployment
from gateway.errors import GatewayError
from gateway.fast_path.body import InputData, parse_body
from gateway.fast_path.call import Done, Pending, Result, Trigger
from gateway.fast_path.recorder import RunRecorder
from gateway.fast_path.replies import fast_body
from gateway.fast_path.tensors import TensorCodec
from gateway.metrics import GatewayMetrics
from gateway.upstream.predictor import Predictor
from gateway.upstream.reply import InferenceReply
from gateway.upstream.servers import InferenceServers

_KEPT_CALLS = 10_000


class FastCalls:
    """Sends fast calls to their inference servers, and has them recorded when they are answered."""

    def __init__(
        self, servers: InferenceServers, metrics: GatewayMetrics, recorder: RunRecorder
    ) -> None:
        self.metrics = metrics
        self.recorder = recorder
        self._servers = servers
        self._model_calls: dict[str, TensorCodec] = {}

    def start(self, trigger: Trigger, done: Done) -> Pending:
        """Have `trigger` answered; `done` gets the result, or why the server gives none.

        Raises:
            GatewayError: what is wrong with the body, or why there is no inference server. `done`
                is not called then.
        """
        before = perf_counter()
        input_data: InputData = parse_body(trigger.body, trigger.headers)
        call = self._model_call(trigger.deployment)
        form, raws = call.request(input_data, trigger.timeout)
        trigger.parse_seconds = perf_counter() - before
        predictor = self._servers.predictor(call.plan.model, call.plan.version)
        fast = _FastCall(self, trigger, call, done, predictor)
        fast.number = predictor.start(form, raws, trigger.timeout, fast.replied)
        return fast

    def _model_call(self, deployment: LiveDeployment) -> TensorCodec:
        plan: FastPlan | None = deployment.fast_plan
        assert plan is not None, "a deployment is saved as fast only with a plan"
        found = self._model_calls.get(deployment.id)
        if found is None or found.plan is not plan:
            if len(self._model_calls) >= _KEPT_CALLS:
                self._model_calls.clear()
            found = self._model_calls[deployment.id] = TensorCodec(plan)
        return found


class _FastCall:
    """A fast call that waits for the inference server."""

    __slots__ = ("_call", "_calls", "_done", "_predictor", "_trigger", "number")

    def __init__(
        self,
        calls: FastCalls,
        trigger: Trigger,
        call: TensorCodec,
        done: Done,
        predictor: Predictor,
    ) -> None:
        self._calls = calls
        self._trigger = trigger
        self._call = call
        self._done = done
        self._predictor = predictor
        self.number = b""

    def abandon(self) -> None:
        """See Pending."""
        self._predictor.abandon(self.number)

    def replied(self, reply: InferenceReply | GatewayError) -> None:
        """Take the inference server's answer."""
        if isinstance(reply, GatewayError):
            self._done(reply)
            self._calls.recorder.failed(self._trigger, reply)
            return
        answered = perf_counter()
        try:
            output_data = self._call.output_data(reply)
            result = self._result(reply, output_data, answered)
        except Exception as error:  # noqa: BLE001 - the edge knows which are ours
            self._done(error)
            return
        self._done(result)
        # the caller has its answer already
        assert result.timings is not None
        self._calls.metrics.stages(result.timings)
        self._calls.recorder.completed(self._trigger, output_data)

    def _result(self, reply: InferenceReply, output_data: bytes, answered: float) -> Result:
        trigger = self._trigger
        queue, infer = reply.seconds()
        ended = perf_counter()
        auth = trigger.authenticated - trigger.began
        body = fast_body(
            output_data, ended - trigger.began, trigger.run_id, trigger.response_format
        )
        return Result(200, body, (auth, trigger.parse_seconds, queue, infer, ended - answered))
