"""What answers from the first moment: probes at once, everything else as soon as it is built.

Importing the gateway takes over a second. This module imports next to nothing, so that the port
answers 503 with the reason meanwhile, instead of nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

import orjson

from gateway.errors import GatewayError
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
_PROBED_BY = ("GET", "HEAD")
_REQUEST_ID = b"req_boot"


class BootApp:
    """The outermost ASGI application: probes here, ahead of everything; the rest to `app`."""

    def __init__(self) -> None:
        self.app: App | None = None
        """Set when the gateway is built."""
        self.fast_route: FastRoute | None = None
        """Set with it: answers requests that bypass ASGI, see `gateway.fast_path.connection`."""
        self.limits = ConnectionLimits()
        """Of requests and connections; the settings' own, when they are read."""
        self.reasons: Callable[[], Sequence[str]] = lambda: ["starting: the gateway is loading"]
        """Why calls should not come; nothing means ready."""
        self.close: Callable[[], Awaitable[None]] | None = None
        """Called once when the last request is answered."""
        self.on_drain: Callable[[], None] | None = None
        """Called when the process begins to end, while requests are still being answered: those
        that only wait for something to happen are answered then."""
        self.certificate: Certificate | None = None
        """With which the port speaks TLS, and the front door is to."""
        self.draining = False
        """Set when the process has been told to end: readiness says so at once."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or take part in the server's start and end."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close"})
        elif scope["path"] in _PROBES and scope["method"] not in _PROBED_BY:
            await send_answer(send, _not_taken(scope["path"], scope["method"]))
        elif scope["path"] in _LIVE:
            await send_answer(send, _json(200, {"live": True}))
        elif scope["path"] in _READY:
            await send_answer(send, self._readiness())
        elif self.app is None:
            await send_answer(send, self._starting(scope["path"]))
        else:
            await self.app(scope, receive, send)

    def _readiness(self) -> Answer:
        reasons = ["draining: the gateway shuts down"] if self.draining else list(self.reasons())
        body = {"ready": not reasons, "reasons": reasons}
        if not reasons:
            return _json(200, body)
        status, headers, encoded = _json(503, {**body, "error": "; ".join(reasons)})
        return status, [*headers, (b"retry-after", b"1")], encoded

    def _starting(self, path: str) -> Answer:
        message = "; ".join(self.reasons())
        error = GatewayError(ErrorCode.GATEWAY_STARTING, message, retry_after=1)
        return _error(path, error)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        if self.close is not None:
            await self.close()
        await send({"type": "lifespan.shutdown.complete"})


def _json(status: int, document: object) -> Answer:
    return status, [(b"content-type", b"application/json")], orjson.dumps(document)


def _not_taken(path: str, method: str) -> Answer:
    message = f"{path}: expected {' or '.join(_PROBED_BY)}, got {method}"
    return _error(path, GatewayError(ErrorCode.METHOD_NOT_ALLOWED, message, allowed=_PROBED_BY))


def _error(path: str, error: GatewayError) -> Answer:
    return v2_error(error) if path.startswith("/v2") else problem(error, _REQUEST_ID)
