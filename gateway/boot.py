"""The outermost ASGI application: probes at once, everything else once the gateway has started.

Importing the gateway takes over a second. This module imports very little, so that the port can
answer 503 with the reason meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

import orjson

from gateway.errors import GatewayError
from gateway.fast_path.clients import Clients
from gateway.fast_path.http_call import FastRoute
from gateway.web.asgi import App, Receive, Scope, Send, send_answer
from gateway.web.connection_limits import ConnectionLimits
from gateway.web.problems import Answer, problem, v2_error
from protos.errors import ErrorCode

if TYPE_CHECKING:  # most ports have none, and none has to import what it takes
    from gateway.certificate import Certificate

_LIVE = frozenset({"/livez", "/v2/health/live"})
_READY = frozenset({"/readyz", "/v2/health/ready"})
_PROBES = _LIVE | _READY
_PROBE_METHODS = ("GET", "HEAD")
_REQUEST_ID = b"req_boot"


class BootApp:
    """Answers probes itself, ahead of everything else, and passes other requests to `app`."""

    def __init__(self) -> None:
        self.app: App | None = None
        """Set when the gateway is built."""
        self.fast_route: FastRoute | None = None
        """Set with it: answers requests that bypass ASGI, see `gateway.fast_path.connection`."""
        self.limits = ConnectionLimits()
        """Of requests and connections; the settings' own, when they are read."""
        self.clients = Clients()
        """What they hold of the process."""
        self.reasons: Callable[[], Sequence[str]] = lambda: ["starting: the gateway is loading"]
        """Returns why the gateway is not ready; empty: it is."""
        self.degraded: Callable[[], Sequence[str]] = list
        """Returns what does not work although the gateway is ready, or beside `reasons`."""
        self.drain_seconds = 0.0
        """How long calls in flight may go on when the process drains."""
        self.drain_delay_seconds = 0.0
        """How long the ports stay open before that, when the process is to stop."""
        self.replaced_idle_seconds = 0.0
        """How long idle connections stay open when others have taken over the ports."""
        self.idle_seconds = 0.0
        """How long a connection has been idle when it may be closed, while the process drains."""
        self.end_calls: Callable[[], Awaitable[None]] | None = None
        """Called after that, or when all connections are closed: hands back what still runs, so
        that its callers are answered."""
        self.close: Callable[[], Awaitable[None]] | None = None
        """Called once, after the last request has been answered."""
        self.on_drain: Callable[[], None] | None = None
        """Called when the process starts to drain, so that requests which only wait for an event
        are answered."""
        self.certificate: Certificate | None = None
        """For TLS on the REST port and on the public gRPC port."""
        self.stopping = False
        """Set when the gateway is going to stop: it is not ready from then on. One that others
        replace only drains: a load balancer is to go on to call the address."""
        self.draining = False
        """Set when each connection gets one more response at most."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or take part in the server's startup and shutdown."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close"})
        elif scope["path"] in _PROBES and scope["method"] not in _PROBE_METHODS:
            await send_answer(send, _method_not_allowed(scope["path"], scope["method"]))
        elif scope["path"] in _LIVE:
            await send_answer(send, _json(200, {"live": True}))
        elif scope["path"] in _READY:
            await send_answer(send, self._readiness())
        elif self.app is None:
            await send_answer(send, self._starting(scope["path"]))
        else:
            await self.app(scope, receive, send)

    def _readiness(self) -> Answer:
        reasons = [*self.reasons()]
        if self.stopping:
            reasons = ["draining: the gateway shuts down", *reasons]
        body = {"ready": not reasons, "reasons": reasons, "degraded": [*self.degraded()]}
        if not reasons:
            return _json(200, body)
        status, headers, encoded = _json(503, {**body, "error": "; ".join(reasons)})
        return status, [*headers, (b"retry-after", b"1")], encoded

    def _starting(self, path: str) -> Answer:
        message = "; ".join(self.reasons())
        error = GatewayError(ErrorCode.GATEWAY_STARTING, message, retry_after=1)
        return _error(path, error)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        try:
            await receive()
        except asyncio.CancelledError:
            return  # the process ends at its start, and says why; uvicorn would add a traceback
        if self.close is not None:
            await self.close()
        await send({"type": "lifespan.shutdown.complete"})


def _json(status: int, document: object) -> Answer:
    return status, [(b"content-type", b"application/json")], orjson.dumps(document)


def _method_not_allowed(path: str, method: str) -> Answer:
    message = f"{path}: expected {' or '.join(_PROBE_METHODS)}, got {method}"
    return _error(path, GatewayError(ErrorCode.METHOD_NOT_ALLOWED, message, allowed=_PROBE_METHODS))


def _error(path: str, error: GatewayError) -> Answer:
    return v2_error(error) if path.startswith("/v2") else problem(error, _REQUEST_ID)
