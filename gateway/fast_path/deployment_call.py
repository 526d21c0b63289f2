"""One call of a deployment, from its body to its result, for single requests and batch items."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic, perf_counter
from typing import Protocol

from gateway.body_parsing.parser import LARGE_BODY_BYTES, BodyParser
from gateway.deployments.fast_plan import FastPlan
from gateway.deployments.settings import NotificationMethod, ResponseFormat
from gateway.errors import GatewayError
from gateway.fast_path.accounting import Accounting
from gateway.fast_path.body import parse_body
from gateway.fast_path.call_record import DeploymentCallRecord
from gateway.fast_path.replies import fast_body
from gateway.fast_path.routes import ResolvedRoute, RouteResolver
from gateway.fast_path.tensors import encode_body
from gateway.upstream.inference_stream import InferenceStreamClient, templated
from gateway.upstream.servers import InferenceServers
from gateway.web.problems import Headers
from gateway.web.request_timeout import REQUEST_TIMEOUT_HEADER, parse_request_timeout
from protos.errors import ErrorCode
from protos.message_templates import InferRequestTemplate, InferResponseTemplate


class RunningCall(Protocol):
    """A call that something else than an inference server is working on."""

    def abandon(self) -> None:
        """Stop: nothing waits for the result, and it must not be delivered."""


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
    runs: RunCaller
    batches: BatchCaller


class DeploymentCall(DeploymentCallRecord):
    """A call, and afterwards its accounting record.

    A fast call is also what its inference server's stream holds on to (`Caller`). Attributes that
    most calls never change are class attributes.
    """

    services: CallServices
    headers: Mapping[bytes, bytes]
    """The request's, by lower-case name."""
    response_format: ResponseFormat
    timeout: float
    """Seconds that the result may take."""
    deadline = 0.0
    authenticated = 0.0
    """`perf_counter()` when the key was found valid."""
    body = b""
    """Of a call that is not fast."""
    parse_seconds = 0.0
    """What it took to make tensors, or the flow's input, of the body."""
    others_wait = False
    """Whether other calls still waited for the inference server when the reply arrived."""
    _number = b""
    _stream: InferenceStreamClient | None = None
    _running: RunningCall | None = None

    def succeed(
        self, status: int, headers: Headers, body: bytes, *, parse_seconds: float | None = None
    ) -> None:
        """Take the result of a sync or async call, or of a batch."""
        raise NotImplementedError

    def succeed_fast(self, output_data: bytes) -> None:
        """Take the prediction of a fast call, of which `ended` and `stages` are set."""
        raise NotImplementedError

    def fail(self, error: Exception) -> None:
        """Take an error in place of a result."""
        raise NotImplementedError

    def execute(self, route: ResolvedRoute, body: bytes) -> None:
        """Have the call answered in its deployment's mode.

        Raises:
            GatewayError: what is wrong with the request, or why there is no inference server.
        """
        deployment = route.deployment
        given = self.headers.get(REQUEST_TIMEOUT_HEADER)
        timeout: float = deployment.timeout_seconds
        self.timeout = timeout if given is None else min(timeout, parse_request_timeout(given))
        codec = route.codec
        if codec is None:
            self.body = body
            self._running = self.services.runs.start(self)
            return
        if len(body) > LARGE_BODY_BYTES:
            self._running = LargeBodyCall(self, codec.plan, body)
            return
        began = perf_counter()
        template, raws = codec.encode(parse_body(body, self.headers), self.timeout)
        self.parse_seconds = perf_counter() - began
        plan = codec.plan
        stream = self.services.servers.stream(plan.model, plan.version)
        self._number = stream.send(template, raws, self.timeout, self)
        self._stream = stream

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
        plan = self.route.codec.plan
        stream = self.services.servers.stream(plan.model, plan.version)
        self._number = stream.send(template, raws, remaining, self)
        self._stream = stream

    def abandon(self) -> None:
        """Stop working on the call: nothing waits for its result."""
        if self._stream is not None:
            self._stream.cancel(self._number)
        elif self._running is not None:
            running, self._running = self._running, None
            running.abandon()

    def on_reply(self, message: bytes, template: InferResponseTemplate | None) -> None:
        """Take the inference server's reply to a fast call."""
        stream, self._stream = self._stream, None
        assert stream is not None
        self.others_wait = stream.in_flight > 0
        route = self.route
        assert route is not None
        assert route.codec is not None
        arrived = perf_counter()
        try:
            if template is None:
                message, template = templated(message)
            output_data = route.codec.decode(message, template, route.deployment.non_finite)
            queue, infer = template.timings(message)
            self.ended = ended = perf_counter()
            authenticated = self.authenticated - self.began
            self.stages = authenticated, self.parse_seconds, queue, infer, ended - arrived
            self.status = 200
            self.is_run = True
            if route.deployment.notification_method is NotificationMethod.WEBHOOK:
                self.output_data = output_data
            self.succeed_fast(output_data)
        except Exception as error:  # noqa: BLE001 - `fail` knows which are bugs
            self.is_run = False
            self.fail(error)

    def on_failure(self, error: GatewayError) -> None:
        """Take the inference server's error, or that there is no reply."""
        self._stream = None
        self.ended = perf_counter()
        self.is_run = True
        self.run_error = error
        self.fail(error)

    def fast_body(self, output_data: bytes) -> bytes:
        """Return the response body of a fast call."""
        run_id, seconds = self.run_id.encode(), self.ended - self.began
        return fast_body(output_data, seconds, run_id, self.response_format)


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
