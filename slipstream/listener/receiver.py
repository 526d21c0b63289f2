"""The webhook receiver: an ASGI application, and the server that runs it on loopback."""

from __future__ import annotations

import random
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from gateway.storage.clock import now
from gateway.webhooks.verification import VerdictOut, verify_request
from slipstream.failures import UnusableError
from slipstream.listener.deliveries import DeliveryLog, ListenerSummary, ReceivedDelivery

HOST = "127.0.0.1"
"""Reachable from this machine only, since it accepts requests from anyone."""

_MAX_BODY_BYTES = 4 * 1024 * 1024
"""Events have at most 256 KiB."""
_MAX_TEXT_LENGTH = 100
"""Longer header and body values are not shown: they may come from anyone."""
_FORWARD_TIMEOUT_SECONDS = 14.0
"""Below the sender's timeout of 15 s."""
_NOT_FORWARDED = frozenset({"host", "connection", "content-length", "transfer-encoding"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerOptions:
    """How deliveries are verified and answered."""

    secret: str | None
    """None skips verification."""
    forward_to: str | None = None
    """URL that gets verified deliveries; its response is returned."""
    fail: float = 0.0
    """Share of verified deliveries that are answered 503."""


class WebhookReceiver:
    """Accepts POST requests to any path."""

    def __init__(
        self, options: ListenerOptions, on_delivery: Callable[[ReceivedDelivery], None]
    ) -> None:
        self._options = options
        self._on_delivery = on_delivery
        self._log = DeliveryLog()
        self._http = httpx.AsyncClient(timeout=_FORWARD_TIMEOUT_SECONDS, trust_env=False)

    def application(self) -> Starlette:
        """Return the ASGI application."""
        return Starlette(
            routes=[Route("/{path:path}", self._receive, methods=["POST"])], lifespan=self._lifespan
        )

    def summary(self) -> ListenerSummary:
        """Return the totals so far."""
        return self._log.summary()

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        async with self._http:
            yield

    async def _receive(self, request: Request) -> Response:
        at = now()
        body = await _read_body(request)
        if body is None:
            return PlainTextResponse("body larger than 4 MiB\n", 413)
        verdict = self._verify(request, body, at)
        invalid = verdict is not None and not verdict.good
        message_id = request.headers.get("webhook-id")
        # An unsigned request must not make a genuine event look like a duplicate.
        times, accepted = 1, False
        if message_id and not invalid:
            times, accepted = self._log.register(message_id)
        on_purpose = not invalid and random.random() < self._options.fail  # nosec B311 # no secret
        status, note = 401, "invalid signature"
        if on_purpose:
            status, note = 503, "on purpose: --fail"
        elif not invalid:
            status, note = await self._respond(request, body)
        delivery = _delivery(request, body, at, verdict, status)
        delivery.times, delivery.duplicate, delivery.note = times, accepted, note or None
        self._log.add(delivery, on_purpose=on_purpose)
        self._on_delivery(delivery)
        return PlainTextResponse(f"{note or 'accepted'}\n", status)

    def _verify(self, request: Request, body: bytes, at: datetime) -> VerdictOut | None:
        secret = self._options.secret
        if secret is None:
            return None
        return verify_request(request.headers, body, secret, at=at.timestamp())

    async def _respond(self, request: Request, body: bytes) -> tuple[int, str]:
        url = self._options.forward_to
        if url is None:
            return 200, ""
        headers = [pair for pair in request.headers.items() if pair[0] not in _NOT_FORWARDED]
        try:
            answer = await self._http.post(url, content=body, headers=headers)
        except httpx.HTTPError as error:
            return 502, f"{url} does not answer: {error or type(error).__name__}"
        return answer.status_code, f"from {url}"


def _delivery(
    request: Request, body: bytes, at: datetime, verdict: VerdictOut | None, status: int
) -> ReceivedDelivery:
    event = _event(body)
    data = event.get("data")
    run_id = data.get("flow_run_id") if isinstance(data, dict) else None
    headers = request.headers
    return ReceivedDelivery(
        at=at.isoformat(timespec="milliseconds"),
        id=_text(headers.get("webhook-id")),
        event=_text(event.get("type")) or _text(headers.get("x-webhook-event")),
        flow_run_id=_text(run_id),
        attempt=_text(headers.get("x-webhook-attempt")),
        verified=verdict.good if verdict else None,
        findings=verdict.findings if verdict else [],
        times=1,
        duplicate=False,
        after_seconds=_seconds_since(event.get("timestamp"), at),
        status=status,
    )


# Any, here and below: untrusted JSON
def _event(body: bytes) -> dict[str, Any]:
    try:
        event = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return event if isinstance(event, dict) else {}


def _text(value: Any) -> str | None:
    """Return the value if it is safe to print on a terminal."""
    printable = isinstance(value, str) and value.isprintable() and len(value) <= _MAX_TEXT_LENGTH
    return value if printable else None


def _seconds_since(timestamp: Any, at: datetime) -> float | None:
    try:
        return round((at - datetime.fromisoformat(timestamp)).total_seconds(), 3)
    except (TypeError, ValueError):
        return None


async def _read_body(request: Request) -> bytes | None:
    """Return the body, or None if it is too large."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _MAX_BODY_BYTES:
            return None
    return bytes(body)


def listen(port: int) -> socket.socket:
    """Return a socket that listens on loopback; port 0 picks a free one.

    Raises:
        UnusableError: the port is in use, or not permitted.
    """
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        message = f"cannot listen on port {port}: {reason}; choose another with --port"
        raise UnusableError(message) from None


def serve(receiver: WebhookReceiver, listening: socket.socket) -> None:
    """Serve until a signal, which uvicorn raises again when it has ended."""
    config = uvicorn.Config(
        receiver.application(),
        lifespan="on",
        ws="none",
        access_log=False,
        log_config=None,
        log_level="critical",
        server_header=False,
        timeout_graceful_shutdown=2,
    )
    uvicorn.Server(config).run(sockets=[listening])
