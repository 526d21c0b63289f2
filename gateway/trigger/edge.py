"""The trigger route, from a request on the short way to its answer."""

from __future__ import annotations

import asyncio
from time import perf_counter

from gateway.auth.authenticator import Authenticator
from gateway.auth.headers import presented_key
from gateway.auth.identity import check_covers
from gateway.deployments.directory import Directory
from gateway.deployments.live import LiveDeployment
from gateway.ids import new_id
from gateway.metrics import GatewayMetrics
from gateway.trigger.answers import server_timing
from gateway.trigger.deadline import timeout_seconds
from gateway.trigger.dispatch import Dispatcher, Pending, Result, Trigger
from gateway.web.exchange import Exchange, head_of
from gateway.web.faults import as_gateway_error
from gateway.web.problems import HTTP_STATUS, problem
from gateway.web.requests import request_id_of
from protos.errors import ErrorCode

_PREFIX = "/node/deployment-trigger/"
_OK_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
    b"x-request-id: %b\r\nserver-timing: %b\r\n"
)


class TriggerEdge:
    """Answers `POST /node/deployment-trigger/{deployment_id}/`, with or without the last slash."""

    prefix = _PREFIX.encode()

    def __init__(
        self,
        authenticator: Authenticator,
        directory: Directory,
        dispatcher: Dispatcher,
        metrics: GatewayMetrics,
        *,
        max_body_bytes: int,
    ) -> None:
        self.authenticator = authenticator
        self.directory = directory
        self.dispatcher = dispatcher
        self.metrics = metrics
        self.max_body_bytes = max_body_bytes
        self.strangers = metrics.meters("", "")
        self.tasks: set[asyncio.Task[None]] = set()

    def open(self, exchange: Exchange) -> _Call:
        """Return the handler of a call whose headers are there."""
        call = _Call(self, exchange)
        call.authorise()
        return call


class _Call:
    """One call: it may begin when its sender is known to be allowed and its body is complete."""

    __slots__ = (
        "_authenticated",
        "_authorising",
        "_began",
        "_body",
        "_deployment",
        "_edge",
        "_exchange",
        "_pending",
        "_request_id",
        "_run_id",
    )

    def __init__(self, edge: TriggerEdge, exchange: Exchange) -> None:
        self._began = perf_counter()
        self._edge = edge
        self._exchange = exchange
        self._run_id = new_id()
        self._request_id = request_id_of(exchange.headers, self._run_id)
        self._deployment: LiveDeployment | None = None
        self._authenticated = self._began
        self._authorising: asyncio.Task[None] | None = None
        self._body: bytes | None = None
        self._pending: Pending | None = None

    def authorise(self) -> None:
        """Find out who calls what: at once where both are known here, else from the database."""
        edge, exchange = self._edge, self._exchange
        key = presented_key(exchange.headers)
        identity = edge.authenticator.identify(key) if key else None
        deployment_id = exchange.path[len(_PREFIX) :].rstrip("/")
        found = edge.directory.get(deployment_id)
        if (
            identity is not None
            and found is not None
            and found.profile_id == identity.profile_id
            and identity.may_trigger(found.id)
        ):
            self._deployment = found
            self._authenticated = perf_counter()
            return
        self._authorising = asyncio.create_task(self._ask(key, deployment_id))
        edge.tasks.add(self._authorising)
        self._authorising.add_done_callback(edge.tasks.discard)

    def complete(self, body: bytes) -> None:
        """See Handler."""
        if self._deployment is None:
            self._body = body
        else:
            self._start(self._deployment, body)

    def refuse(self, error: Exception) -> None:
        """See Handler."""
        if self._authorising is not None:
            self._authorising.cancel()
        refusal = as_gateway_error(error, self._request_id)
        status, headers, body = problem(refusal, self._request_id)
        elapsed = perf_counter() - self._began
        headers += (
            (b"x-request-id", self._request_id),
            (b"server-timing", b"total;dur=%.3f" % (elapsed * 1e3)),
        )
        self._exchange.respond(head_of(status, headers, body), body)
        self._count(status)

    def disconnected(self) -> None:
        """See Handler."""
        if self._authorising is not None:
            self._authorising.cancel()
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.abandon()
        self._count(HTTP_STATUS[ErrorCode.CANCELLED])

    async def _ask(self, key: str | None, deployment_id: str) -> None:
        edge = self._edge
        try:
            identity = await edge.authenticator.authenticate(key)
            found = await edge.directory.find(deployment_id, identity.profile_id)
            check_covers(identity, found.id)
        except Exception as error:
            self._authorising = None
            self.refuse(error)
            return
        self._authorising = None
        self._authenticated = perf_counter()
        self._deployment = found
        if self._body is not None:
            self._start(found, self._body)

    def _start(self, deployment: LiveDeployment, body: bytes) -> None:
        headers = self._exchange.headers
        try:
            trigger = Trigger(
                deployment=deployment,
                run_id=self._run_id,
                headers=headers,
                body=body,
                timeout=timeout_seconds(headers, deployment.timeout_seconds),
                began=self._began,
                authenticated=self._authenticated,
            )
            self._pending = self._edge.dispatcher.start(trigger, self._done)
        except Exception as error:
            self.refuse(error)

    def _done(self, result: Result | Exception) -> None:
        self._pending = None  # it knows this call: nothing waits for the garbage collector
        if not isinstance(result, Result):
            self.refuse(result)
            return
        body = result.body
        timing = server_timing(result.timings, perf_counter() - self._began)
        self._exchange.respond(_OK_HEAD % (len(body), self._request_id, timing), body)
        self._count(200)

    def _count(self, status: int) -> None:
        metrics, found = self._edge.metrics, self._deployment
        meters = self._edge.strangers if found is None else metrics.meters(found.id, found.mode)
        meters.answered(status, perf_counter() - self._began)
