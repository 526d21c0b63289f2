"""`POST /node/deployment-trigger/{deployment_id}/`, and the same by a readable address.

From the request's headers to its response.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from time import monotonic, perf_counter

from gateway.auth.identity import Identity
from gateway.body_parsing.parser import LARGE_BODY_BYTES
from gateway.deployments.live_deployment import LiveDeployment
from gateway.deployments.response_format import FETCH_MODE, HEADER, ChosenFormat, choose_format
from gateway.errors import GatewayError
from gateway.fast_path.body import parse_batch
from gateway.fast_path.deployment_call import CallServices, DeploymentCall
from gateway.fast_path.http_call import Connection, HttpCall, RequestHead, head_of, header_lines
from gateway.fast_path.replies import Parts, fast_head
from gateway.fast_path.rollout_calls import enter_rollout
from gateway.fast_path.routes import ResolvedRoute
from gateway.fast_path.url import (
    PREFIXES,
    TriggerUrl,
    deployment_in,
    leading_deployment_in,
    route_of,
)
from gateway.ids import new_run_id, request_id_of
from gateway.runs.labels import HEADER as LABELS
from gateway.runs.labels import check_single_line, read_labels
from gateway.web.cors import cors_headers
from gateway.web.problems import Headers, problem
from gateway.web.unexpected_errors import as_gateway_error
from protos.errors import ErrorCode

_NO_SNIFFING = (b"x-content-type-options", b"nosniff")
_FETCH_MODE = FETCH_MODE.encode()
_RESPONSE_FORMAT = HEADER.encode()
_CLOSING_STATUSES = frozenset({401, 413})
"""Refusals after which the rest of a body is not read, however small it is."""


class TriggerRoute:
    """The route, with or without the last slash; with `batch/` at the end, a batch."""

    prefixes = tuple(map(str.encode, PREFIXES))

    def __init__(self, services: CallServices, *, max_body_bytes: int) -> None:
        self.services = services
        self.max_body_bytes = max_body_bytes
        self.tasks: set[asyncio.Task[None]] = set()
        self._responses: list[tuple[TriggerCall, bytes, Parts]] = []

    def new_call(self, connection: Connection, head: RequestHead) -> TriggerCall:
        """Return the call for a request whose headers have arrived."""
        return TriggerCall(self, connection, head)

    def respond_soon(self, call: TriggerCall, head: bytes, body: Parts) -> None:
        """Have `call` respond when the event loop has handled everything that has arrived.

        Replies of an inference server arrive many in one read. A client that is woken by a response
        in the midst of them would take the core: with 64 connections on two cores, that costs a
        fifth of the throughput.
        """
        if not self._responses:
            asyncio.get_running_loop().call_soon(self._respond)
        self._responses.append((call, head, body))

    def _respond(self) -> None:
        responses, self._responses = self._responses, []
        for call, head, body in responses:
            call.respond_fast(head, body)


class TriggerCall(HttpCall, DeploymentCall):
    """One call: it starts when its sender is authorised and its body is complete.

    Usually everything that authorisation needs is in memory, and it is done within `on_headers`.
    Else a task asks the database meanwhile, and whichever comes last starts the call.
    """

    __slots__ = ("_format", "_trigger_route", "headers", "services")

    _format: ChosenFormat

    is_request = True
    _url: TriggerUrl | None = None  # where the route alone does not say what is called
    _holds_limit = False  # its rate limit has admitted it, and is to be released
    _may_start = False
    _waiting_body: bytes | None = None
    _task: asyncio.Task[None] | None = None

    def __init__(self, route: TriggerRoute, connection: Connection, head: RequestHead) -> None:
        super().__init__(connection, head, route.max_body_bytes)
        self._trigger_route = route
        self.services = route.services
        self.headers = head.headers

    @property
    def client_address(self) -> str:
        """Where the call comes from."""
        return self.services.resolver.client_address(self.connection, self.head)

    @property
    def named_deployment(self) -> str:
        """See DeploymentCallRecord."""
        named = leading_deployment_in(self.head.path)
        return self.services.resolver.deployments.id_of(named) or named

    @property
    def http_route(self) -> str:
        """See DeploymentCallRecord."""
        return route_of(self.head.path)

    # HttpCall

    def on_headers(self) -> None:
        """Authorise the call: at once if everything is in memory, else by the database."""
        self.began = perf_counter()
        self.run_id = new_run_id()
        resolution = self.services.resolver.resolve(self.head)
        if resolution is None:
            identity = None
        else:
            self.resolution = resolution
            if self._enter(resolution.route):
                return
            identity = resolution.key.identity
        self.accepts_body = False
        self._run_task(self._authorise(identity))

    def on_body(self, body: bytes) -> None:
        """Start the call, or let `_authorise` do so."""
        if self._may_start:
            self._start(body)
        else:
            self._waiting_body = body

    def on_error(self, error: Exception) -> None:
        """Respond with an error in place of a result."""
        self.abandon()
        self.fail(error)

    def on_disconnect(self) -> None:
        """Stop working: the client has disconnected."""
        if self._task is not None:
            self._task.cancel()
        self.abandon()
        self._finish(ErrorCode.CANCELLED.http_status, ErrorCode.CANCELLED)

    # authorisation

    def _enter(self, route: ResolvedRoute) -> bool:
        """Take the route and pass its rate limit; False: the limit is not in memory."""
        self.route = route
        if route.rate_limit is not None:
            try:
                if not route.rate_limit.try_acquire():
                    return False
            except GatewayError as error:
                self.fail(error)
                return True
            self._holds_limit = True
        self.authenticated = perf_counter()
        self._may_start = True
        return True

    async def _authorise(self, identity: Identity | None) -> None:
        resolver, head = self.services.resolver, self.head
        try:
            # a page without a valid key is to be told why, and who watches the deployment
            if b"origin" in head.headers or self.services.watches.deployments:
                await resolver.deployments.origins(deployment_in(head.path))
            if identity is None:
                identity = await resolver.identify(self.connection, head)
            url = self._url = TriggerUrl.parse(head.path, head.url.partition(b"?")[2])
            route = self.route = await resolver.find(identity, url)
            if LABELS in self.headers:  # when a sample is written, it is answered
                check_single_line(head.lines)
                read_labels(self.headers)
            if route.rate_limit is not None and not url.is_batch:  # a batch's body says its cost
                await route.rate_limit.acquire()
                self._holds_limit = True
        except Exception as error:
            self._task = None
            self.fail(error)
            return
        self._task = None
        self.authenticated = perf_counter()
        self._may_start = self.accepts_body = True
        if self._waiting_body is not None:
            self._start(self._waiting_body)
        else:
            self.connection.resume_reading()

    def _run_task(self, work: Coroutine[None, None, None]) -> None:
        tasks = self._trigger_route.tasks
        self._task = asyncio.create_task(work)
        tasks.add(self._task)
        self._task.add_done_callback(tasks.discard)

    # execution

    def _start(self, body: bytes) -> None:
        route, url = self.route, self._url
        assert route is not None
        self._format = choose_format(
            None if url is None else url.response_format,
            route.deployment.response_format,
            self.headers.get(_FETCH_MODE),
        )
        self.response_format = self._format.form
        if self._waiting_body is not None:
            self._waiting_body = None
        try:
            if url is not None and url.is_batch:
                self._run_task(self._start_batch(route, body))
                return
            if route.rollout is not None:
                route = self.route = enter_rollout(self, route, route.rollout, body)
            self.execute(route, body)
        except Exception as error:
            self.fail(error)

    async def _start_batch(self, route: ResolvedRoute, body: bytes) -> None:
        """Start a batch when the rate limit admits all its items."""
        try:
            items = await self._parse_batch(route.deployment, body)
            if route.rate_limit is not None:
                await route.rate_limit.acquire(len(items))
                self._holds_limit = True
            self._task = None
            running = self.services.batches.start(self, items)
            if not self.response_complete:
                self._running = running
        except Exception as error:
            self._task = None
            self.fail(error)

    async def _parse_batch(self, deployment: LiveDeployment, body: bytes) -> list[bytes]:
        if len(body) <= LARGE_BODY_BYTES:
            return parse_batch(body, self.headers)
        deadline = monotonic() + deployment.timeout_seconds
        return await self.services.parser.run(
            deployment.profile_id, deadline, parse_batch, body, self.headers
        )

    # results

    def succeed_fast(self, output_data: bytes) -> None:
        """See DeploymentCall."""
        body = self.fast_body(output_data)
        seconds = self.ended - self.began
        head = fast_head(body, self._request_id(), self.stages, seconds) + self._format.line
        route = self.route
        assert route is not None
        if route.rate_limit is not None:
            head += route.rate_limit.header_lines(self.ended)
        if self.recording is not None:
            head += self.recording.timing_line()
        if route.deployment.cors_origins is not None:
            head += header_lines(self._cors_headers())
        if self.others_wait:
            self._trigger_route.respond_soon(self, head, body)
        else:
            self.respond_fast(head, body)

    def respond_fast(self, head: bytes, body: Parts) -> None:
        """Respond to a fast call, unless the client has disconnected since its reply came."""
        if self.disconnected:
            return
        try:
            self.respond(head, *body)
            self._finish(200, None)
        except Exception as error:  # other responses follow this one
            self._on_bug(error)

    def succeed(
        self, status: int, headers: Headers, body: bytes, *, parse_seconds: float | None = None
    ) -> None:
        """See DeploymentCall."""
        self._running = None
        if self.services.watches.deployments:
            self.services.watches.note_timing(self, headers)
        authenticated = self.authenticated - self.began
        self.stages = (authenticated,) if parse_seconds is None else (authenticated, parse_seconds)
        form = (_RESPONSE_FORMAT, self._format.value.encode())
        self._respond(status, [*headers, form], body)
        self._finish(status, None)

    def fail(self, error: Exception) -> None:
        """See DeploymentCall."""
        self._running = None
        if self._task is not None:
            self._task.cancel()
        self.stages = ()
        known = as_gateway_error(error, self._request_id())
        if self.services.watches.deployments:
            self.services.watches.note_refusal(self, known)
        if not self._body_complete and known.code.http_status in _CLOSING_STATUSES:
            self.keep_alive = False
        status, headers, body = problem(known, self._request_id())
        self._respond(status, headers, body)
        self._finish(status, known.code)

    def _respond(self, status: int, headers: Headers, body: bytes) -> None:
        self.ended = perf_counter()
        timing = b"total;dur=%.3f" % ((self.ended - self.began) * 1e3)
        own = (b"x-request-id", self._request_id()), (b"server-timing", timing), _NO_SNIFFING
        limit = None if self.route is None else self.route.rate_limit
        limits = [] if limit is None else limit.headers()
        headers = [*headers, *own, *limits, *self._cors_headers()]
        self.respond(head_of(status, headers, body), body)

    def _finish(self, status: int, error: ErrorCode | None) -> None:
        """Release what the call holds, and have it counted."""
        self.status = status
        if error is not None:
            self.error = error
            self.ended = perf_counter()
        if self._holds_limit:
            self._holds_limit = False
            assert self.route is not None
            assert self.route.rate_limit is not None
            self.route.rate_limit.release()
        if self.body:
            self.body = b""
        self.services.accounting.add(self)

    def _request_id(self) -> bytes:
        return request_id_of(self.headers, self.run_id)

    def _cors_headers(self) -> Headers:
        """Return what lets a page of another origin see the response, where it may."""
        head = self.head
        deployment = None if self.route is None else self.route.deployment
        if deployment is None and b"origin" in head.headers:
            deployment = self.services.resolver.deployments.get(deployment_in(head.path))
        origins = None if deployment is None else deployment.cors_origins
        return cors_headers(origins, head.headers.get(b"origin"))
