"""One call of a deployment, from its body to its result, for single requests and batch items."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from time import monotonic, perf_counter
from typing import Protocol

from gateway.body_parsing.parser import LARGE_BODY_BYTES, BodyParser
from gateway.deployments.fast_plan import FastPlan
from gateway.errors import GatewayError
from gateway.fast_path.accounting import Accounting
from gateway.fast_path.answerable_call import AnswerableCall
from gateway.fast_path.body import parse_body
from gateway.fast_path.call_record import Hop
from gateway.fast_path.call_watches import CallWatches
from gateway.fast_path.recorded_call import RecordedCall
from gateway.fast_path.recorder import RunRecorder
from gateway.fast_path.replies import Parts, fast_body
from gateway.fast_path.routes import ResolvedRoute, RouteResolver
from gateway.fast_path.tensors import encode_body
from gateway.runs.idempotency import HEADER as IDEMPOTENCY_KEY
from gateway.upstream.inference_stream import InferenceStreamClient, templated
from gateway.upstream.servers import InferenceServers
from gateway.web.large_tensors import LARGE_OUTPUT_BYTES
from gateway.web.request_timeout import REQUEST_TIMEOUT_HEADER, parse_request_timeout
from protos.errors import ErrorCode
from protos.message_templates import InferRequestTemplate, InferResponseTemplate
from protos.parameters import encoded_trace
from telemetry.traces import Tracer

_MAX_KEPT_BYTES = 1 << 20
"""Of a request that is kept to be sent again: larger ones would take memory until the reply."""


class RunningCall(Protocol):
    """A call that something else than an inference server is working on."""

    def abandon(self) -> None:
        """Stop: nothing waits for the result, and it must not be delivered."""


class Copy(Protocol):
    """A copy of a call, for the other version of a rollout."""

    def compare_with(self, output_data: bytes) -> None:
        """Take the output of the call that was copied."""


class RunCaller(Protocol):
    """Answers calls of modes `sync` and `async`, by runs."""

    def start(self, call: DeploymentCall) -> RunningCall:
        """Have a call answered by its `succeed` or `fail`, later."""


class BatchCaller(Protocol):
    """Answers batches."""

    def start(self, call: DeploymentCall, items: list[bytes]) -> RunningCall:
        """Have every item, the body of a call, answered; `succeed` of `call` gets all results."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallServices:
    """What calls need; one for all calls of a process."""

    resolver: RouteResolver
    servers: InferenceServers
    parser: BodyParser
    accounting: Accounting
    recorder: RunRecorder
    runs: RunCaller
    batches: BatchCaller
    watches: CallWatches
    tracer: Tracer | None
    """None: calls are not traced."""


class DeploymentCall(AnswerableCall):
    """A call, and afterwards its accounting record.

    A fast call is also what its inference server's stream holds on to (`Caller`). Attributes that
    most calls never change are class attributes.
    """

    services: CallServices
    deadline = 0.0
    authenticated = 0.0
    """`perf_counter()` when the key was found valid."""
    body = b""
    """Of a call that is not fast."""
    parse_seconds = 0.0
    """What it took to make tensors, or the flow's input, of the body."""
    others_wait = False
    """Whether other calls still waited for the inference server when the reply arrived."""
    recording: RecordedCall | None = None
    """Writes its run before it is answered."""
    copy: Copy | None = None
    """Of a rollout: what the other version is asked, to compare the outputs."""
    _number = b""
    _stream: InferenceStreamClient | None = None
    _running: RunningCall | None = None
    _sent: tuple[InferRequestTemplate, list[bytes]] | None = None
    """What was sent, unless it is large, until there is a reply to it or it was sent again."""

    @property
    def caller(self) -> str | None:
        """See Caller."""
        return None if self.route is None else self.route.identity.limit_key

    def execute(self, route: ResolvedRoute, body: bytes) -> None:
        """See AnswerableCall."""
        deployment = route.deployment
        given = self.headers.get(REQUEST_TIMEOUT_HEADER)
        timeout: float = deployment.timeout_seconds
        self.timeout = timeout if given is None else min(timeout, parse_request_timeout(given))
        codec = route.codec
        if codec is None:
            self.body = body
            self._running = self.services.runs.start(self)
            return
        if self.recording is None and (route.is_recorded or IDEMPOTENCY_KEY in self.headers):
            self.recording = self.services.recorder.begin(self)
            self.recording.start(body)  # which comes back here
            return
        if len(body) > LARGE_BODY_BYTES:
            self._running = LargeBodyCall(self, codec.plan, body)
            return
        began = perf_counter()
        template, raws = codec.encode(parse_body(body, self.headers), self.timeout)
        self.parse_seconds = perf_counter() - began
        plan, servers = codec.plan, self.services.servers
        if servers.crashes.refused:
            servers.crashes.check(self.caller, plan.model)
        stream = servers.stream(plan.model, plan.version)
        codec.by_owner = stream.by_owner
        self._send(stream, template, raws, self.timeout)

    def send_parsed(
        self, template: InferRequestTemplate, raws: list[bytes], parse_seconds: float
    ) -> None:
        """Send a call whose body was parsed elsewhere, which is part of its time.

        Raises:
            GatewayError: DEADLINE_EXCEEDED, or why there is no inference server.
        """
        self._running = None
        self.parse_seconds = parse_seconds
        remaining = self.timeout - parse_seconds
        if remaining <= 0:
            message = f"the call exceeded its {self.timeout:g} s while its body was parsed"
            raise GatewayError(ErrorCode.DEADLINE_EXCEEDED, message)
        assert self.route is not None
        assert self.route.codec is not None
        plan, servers = self.route.codec.plan, self.services.servers
        servers.crashes.check(self.caller, plan.model)
        stream = servers.stream(plan.model, plan.version)
        self._send(stream, template, raws, remaining)

    def _send(
        self,
        stream: InferenceStreamClient,
        template: InferRequestTemplate,
        raws: list[bytes],
        timeout: float,
    ) -> None:
        if template.length <= _MAX_KEPT_BYTES:
            self._sent = template, raws
        tracer = self.services.tracer
        trace = b"" if tracer is None else self._begin_hop(tracer)
        self._number = stream.send(template, raws, timeout, self, trace=trace)
        self._stream = stream

    def _begin_hop(self, tracer: Tracer) -> bytes:
        """Return what names the span of the request, if the call is sampled."""
        trace = self.trace
        if trace is None:
            if not self.is_request:  # it is counted nowhere
                return b""
            trace = self.trace = tracer.begin(self.headers)
        if not trace.sampled:
            return b""
        if self.hops is None:
            self.hops = []
        hop = Hop(self, trace.child(), perf_counter())
        self.hops.append(hop)
        return encoded_trace(hop.context.headers)

    def abandon(self) -> None:
        """Stop working on the call: nothing waits for its result."""
        if self._stream is not None:
            self._stream.cancel(self._number)
        elif self._running is not None:
            running, self._running = self._running, None
            running.abandon()
        if self.recording is not None:
            self.recording.abandon()

    def on_reply(self, message: bytes, template: InferResponseTemplate | None) -> None:
        """Take the inference server's reply to a fast call."""
        stream, self._stream = self._stream, None
        self._sent = None
        assert stream is not None
        self.others_wait = stream.in_flight > 0
        self.replied = perf_counter()
        if len(message) > LARGE_OUTPUT_BYTES:
            self._running = LargeReply(self, message, template)
            return
        route = self.route
        assert route is not None
        assert route.codec is not None
        try:
            if template is None:
                message, template = templated(message)
            output_data = route.codec.decode(message, template, route.deployment.non_finite)
            self.complete(output_data, *template.timings(message))
        except Exception as error:  # noqa: BLE001 - `fail` knows which are bugs
            self.may_be_sampled = False
            self.fail(error)

    def complete(self, output_data: bytes, queue: float, infer: float) -> None:
        """Succeed with `output_data`, which is JSON; `queue` and `infer` are seconds."""
        if self._running is not None:
            self._running = None
        self.ended = ended = perf_counter()
        authenticated = self.authenticated - self.began
        self.stages = authenticated, self.parse_seconds, queue, infer, ended - self.replied
        self.status = 200
        if self.recording is None:
            self.may_be_sampled = True
            self.succeed_fast(output_data)
        else:
            self.recording.completed(output_data)
        if self.copy is not None:
            self.copy.compare_with(output_data)

    def on_failure(self, error: GatewayError) -> None:
        """Take the inference server's error, or that there is no reply."""
        self._stream = None
        if self._is_sent_again(error):
            return
        self.ended = perf_counter()
        self.is_failed_run = True
        if self.recording is None:
            self.fail_recorded(error)
        else:
            self.recording.failed(error)

    def fail_recorded(self, error: GatewayError) -> None:
        """Fail with the inference server's error, once a run of it is written."""
        self._running = self.services.recorder.fail(self, error)

    def _is_sent_again(self, error: GatewayError) -> bool:
        """Send the call to another replica, once, if the first one has refused it."""
        sent, self._sent = self._sent, None
        remaining = self.began + self.timeout - perf_counter()
        if sent is None or remaining <= 0:
            return False
        assert self.route is not None
        assert self.route.codec is not None
        plan = self.route.codec.plan
        stream = self.services.servers.other_stream(plan.model, plan.version, error)
        if stream is None:
            return False
        for hop in self.hops or ():
            if hop.call is self:
                hop.ended, hop.error = perf_counter(), error.code.value
        try:
            self._send(stream, *sent, remaining)
        except GatewayError:
            return False
        self._sent = None
        return True

    def fast_body(self, output_data: bytes) -> Parts:
        """Return the response body of a fast call."""
        recording = self.recording
        if recording is None:
            return fast_body(output_data, self.ended - self.began, None, self.response_format)
        run_id = self.run_id.encode()
        return fast_body(output_data, recording.seconds, run_id, self.response_format)


class LargeBodyCall:
    """A fast call whose body is being parsed in another process."""

    def __init__(self, call: DeploymentCall, plan: FastPlan, body: bytes) -> None:
        self._call = call
        self._task = asyncio.create_task(self._parse(plan, body))

    def abandon(self) -> None:
        """Stop."""
        self._task.cancel()

    async def _parse(self, plan: FastPlan, body: bytes) -> None:
        call = self._call
        began = perf_counter()
        try:
            assert call.route is not None
            tenant, deadline = call.route.deployment.profile_id, monotonic() + call.timeout
            encoded = await call.services.parser.run(
                tenant, deadline, encode_body, body, call.headers, plan, call.timeout
            )
            call.send_parsed(*encoded, perf_counter() - began)
        except Exception as error:  # noqa: BLE001 - `fail` knows which are bugs
            call.fail(error)


class LargeReply:
    """The reply to a fast call, while it is written as JSON in parts."""

    def __init__(
        self, call: DeploymentCall, message: bytes, template: InferResponseTemplate | None
    ) -> None:
        self._call = call
        self._task = asyncio.create_task(self._write(message, template))

    def abandon(self) -> None:
        """Stop."""
        self._task.cancel()

    async def _write(self, message: bytes, template: InferResponseTemplate | None) -> None:
        call = self._call
        route = call.route
        assert route is not None
        assert route.codec is not None
        try:
            if template is None:
                message, form = await asyncio.to_thread(templated, message)
            else:
                form = template
            non_finite = route.deployment.non_finite
            output_data = await route.codec.decode_large(message, form, non_finite)
            call.complete(output_data, *form.timings(message))
        except Exception as error:  # noqa: BLE001 - `fail` knows which are bugs
            call.may_be_sampled = False
            call.fail(error)
