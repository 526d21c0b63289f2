"""The trigger route, from a request on the short way to its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from time import perf_counter
from typing import Any

from gateway.auth.headers import presented_key
from gateway.auth.identity import Identity
from gateway.errors import GatewayError
from gateway.fast_path.body import parse_batch
from gateway.fast_path.call import BatchHandler, Pending, Result, Trigger
from gateway.fast_path.deadline import timeout_seconds
from gateway.fast_path.dispatch import Dispatcher
from gateway.fast_path.http_call import HttpCall, head_of, lines_of
from gateway.fast_path.replies import server_timing
from gateway.fast_path.routes import ResolvedRoute, RouteResolver
from gateway.fast_path.url import PREFIX, TriggerUrl
from gateway.ids import new_run_id
from gateway.metrics import GatewayMetrics
from gateway.usage.meter import UsageMeter
from gateway.web.cors import cors_headers
from gateway.web.problems import Headers, problem
from gateway.web.requests import request_id_of
from gateway.web.unexpected_errors import as_gateway_error
from protos.errors import ErrorCode

_OK_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
    b"x-content-type-options: nosniff\r\nx-request-id: %b\r\nserver-timing: %b\r\n"
)
_NO_SNIFFING = (b"x-content-type-options", b"nosniff")


class TriggerRoute:
    """Answers `POST /node/deployment-trigger/{deployment_id}/`, with or without the last slash.

    With `batch/` after it, a batch.
    """

    prefix = PREFIX.encode()

    def __init__(
        self,
        admission: RouteResolver,
        dispatcher: Dispatcher,
        batches: BatchHandler,
        metrics: GatewayMetrics,
        usage: UsageMeter,
        *,
        max_body_bytes: int,
    ) -> None:
        self.admission = admission
        self.dispatcher = dispatcher
        self.batches = batches
        self.metrics = metrics
        self.usage = usage
        self.max_body_bytes = max_body_bytes
        self.strangers = metrics.meters("", "")
        self.tasks: set[asyncio.Task[None]] = set()

    def open(self, exchange: HttpCall) -> _Call:
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
        "_edge",
        "_exchange",
        "_inside",
        "_may_begin",
        "_pending",
        "_request_id",
        "_run_id",
        "_way",
    )

    def __init__(self, edge: TriggerRoute, exchange: HttpCall) -> None:
        self._began = perf_counter()
        self._edge = edge
        self._exchange = exchange
        self._run_id = new_run_id()
        self._request_id = request_id_of(exchange.headers, self._run_id)
        self._way: ResolvedRoute | None = None  # there as soon as it is known
        self._inside = False  # its gate has let it in, and hears when it is answered
        self._may_begin = False
        self._address: TriggerUrl | None = (
            None  # where the way alone does not say what is asked for
        )
        self._authenticated = self._began
        self._authorising: asyncio.Task[None] | None = None
        self._body: bytes | None = None
        self._pending: Pending | None = None

    def authorise(self) -> None:
        """Find out who calls what: at once where both are known here, else from the database."""
        edge, exchange = self._edge, self._exchange
        key = presented_key(exchange.headers)
        identity = edge.admission.authenticator.cached_identity(key, self._origin)
        if identity is not None:
            way = edge.admission.way(identity, exchange.url)
            if way is not None and self._enter(way):
                return
        self._go_on(self._ask(key, identity))

    def complete(self, body: bytes) -> None:
        """See Handler."""
        if self._may_begin and self._way is not None:
            self._start(self._way, body)
        else:
            self._body = body

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
        self._count(ErrorCode.CANCELLED.http_status, ErrorCode.CANCELLED)

    def _origin(self) -> str:
        return self._edge.admission.origin(self._exchange)

    def _enter(self, way: ResolvedRoute) -> bool:
        """Pass the gate, or be refused; False: somebody has to be asked first."""
        self._way = way
        if way.rate_limit is not None:
            try:
                if not way.rate_limit.try_acquire():
                    return False
            except GatewayError as refusal:
                self.refuse(refusal)
                return True
            self._inside = True
        self._authenticated = perf_counter()
        self._may_begin = True
        return True

    def _go_on(self, work: Coroutine[None, None, None]) -> None:
        """Find out what is not known here."""
        self._authorising = asyncio.create_task(work)
        self._edge.tasks.add(self._authorising)
        self._authorising.add_done_callback(self._edge.tasks.discard)

    async def _ask(self, key: str | None, known: Identity | None) -> None:
        admission, exchange = self._edge.admission, self._exchange
        try:
            if b"origin" in exchange.headers:  # a page without a good key is to see why not
                await admission.deployment_cache.origins(self._named())
            identity = known or await admission.identify(key, exchange)
            query = exchange.url.partition(b"?")[2]
            address = self._address = TriggerUrl.of(exchange.path, query)
            way = self._way = await admission.find(identity, address)
            if (
                way.rate_limit is not None and not address.batch
            ):  # what a batch costs, its body says
                await way.rate_limit.acquire()
                self._inside = True
        except Exception as error:
            self._authorising = None
            self.refuse(error)
            return
        self._authorising = None
        self._authenticated = perf_counter()
        self._may_begin = True
        if self._body is not None:
            self._start(way, self._body)

    def _start(self, way: ResolvedRoute, body: bytes) -> None:
        headers, address, deployment = self._exchange.headers, self._address, way.deployment
        asked_format = address.response_format if address else None
        try:
            trigger = Trigger(
                deployment=deployment,
                key_id=way.identity.key_id,
                run_id=self._run_id,
                headers=headers,
                body=body,
                response_format=asked_format or deployment.response_format,
                timeout=timeout_seconds(headers, deployment.timeout_seconds),
                began=self._began,
                authenticated=self._authenticated,
                rate_limit=way.rate_limit,
                concurrency_limits=way.concurrency_limits,
            )
            if address is not None and address.batch:
                self._go_on(self._start_batch(trigger, parse_batch(body, headers)))
            else:
                self._pending = self._edge.dispatcher.start(trigger, self._done)
        except Exception as error:
            self.refuse(error)

    # Any: values as JSON has them
    async def _start_batch(self, trigger: Trigger, items: list[Any]) -> None:
        """Begin with a batch when the gate lets all its items in."""
        try:
            if trigger.rate_limit is not None:
                await trigger.rate_limit.acquire(len(items))
                self._inside = True
            self._authorising = None
            self._pending = self._edge.batches.start(trigger, items, self._done)
        except Exception as error:
            self._authorising = None
            self.refuse(error)

    def _done(self, result: Result | Exception) -> None:
        self._pending = None  # it knows this call: nothing waits for the garbage collector
        if not isinstance(result, Result):
            self.refuse(result)
            return
        body, timings, way = result.body, result.timings, self._way
        elapsed = perf_counter() - self._began
        if timings is not None and result.headers is None:
            timing = server_timing(timings, elapsed)
            head = _OK_HEAD % (len(body), self._request_id, timing)
            if way is not None:
                if way.rate_limit is not None:
                    head += way.rate_limit.header_lines()
                if way.deployment.cors_origins is not None:
                    head += lines_of(self._cross_origin())
        else:
            head = head_of(result.status, self._with_own(result.headers or [], elapsed), body)
        self._exchange.respond(head, body)
        auth, parse = self._authenticated - self._began, result.parse_seconds
        self._count(result.status, None, timings or ((auth,) if parse is None else (auth, parse)))

    def _with_own(self, headers: Headers, elapsed: float) -> Headers:
        timing = b"total;dur=%.3f" % (elapsed * 1e3)
        own = (b"x-request-id", self._request_id), (b"server-timing", timing), _NO_SNIFFING
        rate_limit = None if self._way is None else self._way.rate_limit
        limits = [] if rate_limit is None else rate_limit.headers()
        return [*headers, *own, *limits, *self._cross_origin()]

    def _cross_origin(self) -> Headers:
        """Return what lets a page of another origin see the answer, where it may."""
        exchange = self._exchange
        found = None if self._way is None else self._way.deployment
        if found is None and b"origin" in exchange.headers:
            found = self._edge.admission.deployment_cache.get(self._named())
        origins = None if found is None else found.cors_origins
        return cors_headers(origins, exchange.headers.get(b"origin"))

    def _named(self) -> str:
        """Return what the URL names as a deployment, whether there is one or not."""
        return self._exchange.path[len(PREFIX) :].rstrip("/").removesuffix("/batch")

    def _count(self, status: int, error: ErrorCode | None, stages: Sequence[float] = ()) -> None:
        edge, way, ended = self._edge, self._way, perf_counter()
        seconds = ended - self._began
        if way is None:
            edge.strangers.answered(status, seconds)
            return
        if self._inside and way.rate_limit is not None:
            self._inside = False
            way.rate_limit.release()
        found, key_id = way.deployment, way.identity.key_id or ""
        edge.metrics.meters(found.id, found.mode).answered(status, seconds)
        edge.usage.observe(found, key_id, error=error, ended=ended, seconds=seconds, stages=stages)
