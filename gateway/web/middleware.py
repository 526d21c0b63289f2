"""Middleware around FastAPI: request ids, body limits, time-outs, trailing slashes, JSON errors."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from time import monotonic

from gateway.body_parsing.parser import LARGE_BODY_BYTES, BodyParser
from gateway.errors import GatewayError
from gateway.ids import new_id, request_id_of
from gateway.web.asgi import (
    STREAMED_BODY,
    App,
    Message,
    Receive,
    Scope,
    Send,
    send_answer,
    too_large,
)
from gateway.web.json_body import (
    check_depth,
    check_unicode,
    check_value_count,
    may_have_many_values,
)
from gateway.web.problems import Headers, problem
from gateway.web.security_headers import with_security_headers
from gateway.web.unexpected_errors import as_gateway_error
from protos.errors import ErrorCode


class RestMiddleware:
    """Wraps `app`, whose routes set the limits of their bodies by `limit_body` in the state.

    `max_body_bytes` is a limit for all of them.
    """

    def __init__(
        self, app: App, parser: BodyParser, *, max_body_bytes: int, timeout_seconds: float = 120.0
    ) -> None:
        """Allow `timeout_seconds` until a response begins."""
        self._app = app
        self._parser = parser
        self._timeout_seconds = timeout_seconds
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers: dict[bytes, bytes] = dict(scope["headers"])
        request_id = request_id_of(headers, new_id())
        request = _BoundedRequest(
            receive,
            send,
            request_id,
            headers,
            check_large=partial(self._check_large, scope),
            max_body_bytes=self._max_body_bytes,
            on_stream=scope.get("extensions", {}).get(STREAMED_BODY),
        )
        state = scope["state"] = {**scope.get("state", {}), "request_id": request_id}
        state["headers"] = request.headers
        state["limit_body"] = request.limit_body
        _add_slash(scope)
        if scope["method"] == "HEAD":  # as GET: the server leaves out the body
            scope = {**scope, "method": "GET"}
        try:
            async with asyncio.timeout(self._timeout_seconds) as timeout:
                request.timeout = timeout
                try:
                    await self._app(scope, request.receive, request.send)
                finally:
                    request.timeout = None
        except Exception as error:
            timed_out = isinstance(error, TimeoutError) and timeout.expired()
            await request.refuse(self._timed_out() if timed_out else error)

    async def _check_large(self, scope: Scope, body: bytes) -> None:
        """Check JSON that would hold up the event loop."""
        identity = scope["state"].get("identity")
        tenant = "" if identity is None else identity.profile_id
        deadline = monotonic() + self._timeout_seconds
        await self._parser.run(tenant, deadline, check_value_count, body)

    def _timed_out(self) -> GatewayError:
        message = (
            f"no response within {self._timeout_seconds:g} s: check before you repeat the request"
        )
        return GatewayError(ErrorCode.DEADLINE_EXCEEDED, message)


def _is_json(headers: Mapping[bytes, bytes]) -> bool:
    """Whether the body is parsed as JSON, which is FastAPI's default."""
    return b"json" in headers.get(b"content-type", b"json").lower()


def _add_slash(scope: Scope) -> None:
    """Make `/node/flows` mean `/node/flows/`: a redirect would make curl print nothing."""
    path: str = scope["path"]
    if path.startswith(("/node/", "/v1/")) and not path.endswith("/"):
        scope["path"] = path + "/"
        scope["raw_path"] = scope.get("raw_path", path.encode()).partition(b"?")[0] + b"/"


class _BoundedRequest:
    """One request and its response."""

    def __init__(
        self,
        receive: Receive,
        send: Send,
        request_id: bytes,
        headers: Mapping[bytes, bytes],
        *,
        check_large: Callable[[bytes], Awaitable[None]],
        max_body_bytes: int,
        on_stream: Callable[[], None] | None,
    ) -> None:
        self.headers: Headers = []
        """Headers that routes add to the response, whether it succeeds or fails."""
        self.timeout: asyncio.Timeout | None = None
        """Ends the request, unless its response has begun."""
        self._declared = headers.get(b"content-length", b"0")
        self._is_json = _is_json(headers)
        self._check_large = check_large
        self._max_body_bytes = max_body_bytes
        self._on_stream = on_stream
        self._limit: int | None = max_body_bytes
        self._chunks: list[bytes] = []
        self._receive = receive
        self._send = send
        self._request_id = request_id
        self._size = 0
        self._started = False
        self._refused = False

    def limit_body(self, max_bytes: int | None) -> None:
        """Set the limit of the route; None: it streams a body of any size, for as long as it takes.

        Raises:
            GatewayError: PAYLOAD_TOO_LARGE if the request declares a larger body.
        """
        if max_bytes is None:
            self._limit = None
            self._is_json = False
            if self.timeout is not None:
                self.timeout.reschedule(None)
            if self._on_stream is not None:
                self._on_stream()
            return
        self._limit = min(max_bytes, self._max_body_bytes)
        if self._declared.isdigit() and int(self._declared) > self._limit:
            raise too_large(self._limit)

    async def receive(self) -> Message:
        """Return the next part of the body; over a limit, respond with an error and disconnect."""
        message = await self._receive()
        try:
            await self._check(message)
        except GatewayError as refusal:
            if not self._started:
                await self.refuse(refusal)
                self._refused = True
                return {"type": "http.disconnect"}
        return message

    async def _check(self, message: Message) -> None:
        chunk: bytes = message.get("body", b"")
        self._size += len(chunk)
        if self._limit is not None and self._size > self._limit:
            raise too_large(self._limit)
        if self._is_json and message["type"] == "http.request":
            self._chunks.append(chunk)
            if not message.get("more_body", False):
                body = b"".join(self._chunks)
                self._chunks.clear()
                if len(body) > LARGE_BODY_BYTES or may_have_many_values(body):
                    await self._check_large(body)
                else:
                    check_depth(body)
                    check_unicode(body)

    async def send(self, message: Message) -> None:
        """Send a part of the response, with the request id in its headers."""
        if self._refused:
            return
        if message["type"] == "http.response.start":
            self._started = True
            if self.timeout is not None and not self.timeout.expired():
                self.timeout.reschedule(None)
            own = (b"x-request-id", self._request_id)
            message["headers"] = [
                *with_security_headers(message.get("headers", ())),
                *self.headers,
                own,
            ]
        await self._send(message)

    async def refuse(self, error: Exception) -> None:
        """Respond with `error`, unless a response has begun."""
        refusal = as_gateway_error(error, self._request_id)
        if not self._started:
            await send_answer(self.send, problem(refusal, self._request_id))
