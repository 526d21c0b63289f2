"""The trigger route, from a request on the short way to its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import perf_counter

from gateway.auth.authenticator import Authenticator
from gateway.auth.entrance import Entrance
from gateway.auth.headers import presented_key
from gateway.auth.identity import Identity, check_covers
from gateway.deployments.directory import Directory
from gateway.deployments.live import LiveDeployment
from gateway.ids import new_run_id
from gateway.metrics import GatewayMetrics
from gateway.trigger.address import PREFIX, Address
from gateway.trigger.answers import server_timing
from gateway.trigger.batch_calls import BatchCalls
from gateway.trigger.call import Pending, Result, Trigger
from gateway.trigger.deadline import timeout_seconds
from gateway.trigger.dispatch import Dispatcher
from gateway.usage.meter import UsageMeter
from gateway.web.exchange import Exchange, head_of
from gateway.web.faults import as_gateway_error
from gateway.web.problems import HTTP_STATUS, Headers, problem
from gateway.web.requests import request_id_of
from protos.errors import ErrorCode

_OK_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
    b"x-request-id: %b\r\nserver-timing: %b\r\n"
)


class TriggerEdge:
    """Answers `POST /node/deployment-trigger/{deployment_id}/`, with or without the last slash.

    With `batch/` after it, a batch.
    """

    prefix = PREFIX.encode()

    def __init__(
        self,
        authenticator: Authenticator,
        directory: Directory,
        dispatcher: Dispatcher,
        metrics: GatewayMetrics,
        usage: UsageMeter,
        *,
        entrance: Entrance,
        max_body_bytes: int,
    ) -> None:
        self.authenticator = authenticator
        self.entrance = entrance
        self.directory = directory
        self.dispatcher = dispatcher
        self.batches = BatchCalls(dispatcher)
        self.metrics = metrics
        self.usage = usage
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
        "_address",
        "_authenticated",
        "_authorising",
        "_began",
        "_body",
        "_deployment",
        "_edge",
        "_exchange",
        "_key_id",
        "_pending",
        "_request_id",
        "_run_id",
    )

    def __init__(self, edge: TriggerEdge, exchange: Exchange) -> None:
        self._began = perf_counter()
        self._edge = edge
        self._exchange = exchange
        self._run_id = new_run_id()
        self._request_id = request_id_of(exchange.headers, self._run_id)
        self._deployment: LiveDeployment | None = None
        self._key_id: str | None = None
        self._address: Address | None = None
        self._authenticated = self._began
        self._authorising: asyncio.Task[None] | None = None
        self._body: bytes | None = None
        self._pending: Pending | None = None

    def authorise(self) -> None:
        """Find out who calls what: at once where both are known here, else from the database."""
        edge, exchange = self._edge, self._exchange
        key = presented_key(exchange.headers)
        identity = edge.authenticator.identify(key) if key else None
        found = None
        if b"?" not in exchange.url:
            found = edge.directory.get(exchange.path[len(PREFIX) :].rstrip("/"))
        if (
            identity is not None
            and found is not None
            and found.profile_id == identity.profile_id
            and identity.may_trigger(found.id)
        ):
            self._deployment = found
            self._key_id = identity.key_id
            self._authenticated = perf_counter()
            return
        self._authorising = asyncio.create_task(self._ask(key, identity))
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
        head = head_of(status, self._with_own(headers, elapsed), body)
        self._exchange.respond(head, body)
        self._count(status, refusal.code)

    def disconnected(self) -> None:
        """See Handler."""
        if self._authorising is not None:
            self._authorising.cancel()
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.abandon()
        self._count(HTTP_STATUS[ErrorCode.CANCELLED], ErrorCode.CANCELLED)

    async def _ask(self, key: str | None, known: Identity | None) -> None:
        edge = self._edge
        try:
            headers = self._exchange.headers
            identity = known or await edge.entrance.admit("POST", headers, key)
            query = self._exchange.url.partition(b"?")[2]
            address = self._address = Address.of(self._exchange.path, query)
            found = await edge.directory.find(
                address.deployment_id, identity.profile_id, address.version
            )
            check_covers(identity, found.id)
        except Exception as error:
            self._authorising = None
            self.refuse(error)
            return
        self._authorising = None
        self._authenticated = perf_counter()
        self._deployment = found
        self._key_id = identity.key_id
        if self._body is not None:
            self._start(found, self._body)

    def _start(self, deployment: LiveDeployment, body: bytes) -> None:
        headers, address = self._exchange.headers, self._address
        asked_format = address.response_format if address else None
        calls = self._edge.batches if address and address.batch else self._edge.dispatcher
        try:
            trigger = Trigger(
                deployment=deployment,
                key_id=self._key_id,
                run_id=self._run_id,
                headers=headers,
                body=body,
                response_format=asked_format or deployment.response_format,
                timeout=timeout_seconds(headers, deployment.timeout_seconds),
                began=self._began,
                authenticated=self._authenticated,
            )
            self._pending = calls.start(trigger, self._done)
        except Exception as error:
            self.refuse(error)

    def _done(self, result: Result | Exception) -> None:
        self._pending = None  # it knows this call: nothing waits for the garbage collector
        if not isinstance(result, Result):
            self.refuse(result)
            return
        body, timings = result.body, result.timings
        elapsed = perf_counter() - self._began
        if timings is not None and result.headers is None:
            timing = server_timing(timings, elapsed)
            head = _OK_HEAD % (len(body), self._request_id, timing)
        else:
            head = head_of(result.status, self._with_own(result.headers or [], elapsed), body)
        self._exchange.respond(head, body)
        auth, parse = self._authenticated - self._began, result.parse_seconds
        self._count(result.status, None, timings or ((auth,) if parse is None else (auth, parse)))

    def _with_own(self, headers: Headers, elapsed: float) -> Headers:
        timing = b"total;dur=%.3f" % (elapsed * 1e3)
        return [*headers, (b"x-request-id", self._request_id), (b"server-timing", timing)]

    def _count(self, status: int, error: ErrorCode | None, stages: Sequence[float] = ()) -> None:
        edge, found, ended = self._edge, self._deployment, perf_counter()
        seconds = ended - self._began
        if found is None:
            edge.strangers.answered(status, seconds)
            return
        edge.metrics.meters(found.id, found.mode).answered(status, seconds)
        edge.usage.observe(
            found, self._key_id or "", error=error, ended=ended, seconds=seconds, stages=stages
        )
