"""Around FastAPI: request ids, body limits, both forms of each path, and JSON for every error."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from gateway.errors import GatewayError
from gateway.ids import new_id
from gateway.web.asgi import App, Message, Receive, Scope, Send, send_answer, too_large
from gateway.web.json_depth import check_depth
from gateway.web.problems import Headers, problem
from gateway.web.requests import request_id_of
from gateway.web.security_headers import with_security_headers
from gateway.web.unexpected_errors import as_gateway_error
from protos.errors import ErrorCode


class RestMiddleware:
    """Serves `app`; below the `unlimited` path prefixes, routes bound their bodies themselves."""

    def __init__(
        self,
        app: App,
        *,
        max_body_bytes: int,
        unlimited: Sequence[str],
        timeout_seconds: float = 120.0,
    ) -> None:
        """Give an answer `timeout_seconds` to begin, but for those below `unlimited`."""
        self._app = app
        self._timeout_seconds = timeout_seconds
        self._max_body_bytes = max_body_bytes
        self._unlimited = tuple(unlimited)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers: dict[bytes, bytes] = dict(scope["headers"])
        request_id = request_id_of(headers, new_id())
        bounded = not scope["path"].startswith(self._unlimited)
        exchange = _Exchange(
            receive,
            send,
            request_id,
            limit=self._max_body_bytes if bounded else 2**63,
            is_json=bounded and _is_json(headers),
        )
        state = scope["state"] = {**scope.get("state", {}), "request_id": request_id}
        state["headers"] = exchange.headers
        _add_slash(scope)
        if scope["method"] == "HEAD":  # as GET: the server leaves out the body
            scope = {**scope, "method": "GET"}
        declared = headers.get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > exchange.limit:
            await exchange.refuse(too_large(exchange.limit))
            return
        try:
            async with asyncio.timeout(self._timeout_seconds if bounded else None) as patience:
                exchange.patience = patience
                try:
                    await self._app(scope, exchange.receive, exchange.send)
                finally:
                    exchange.patience = None
        except Exception as error:
            late = isinstance(error, TimeoutError) and patience.expired()
            await exchange.refuse(self._late() if late else error)

    def _late(self) -> GatewayError:
        message = f"there was no answer within {self._timeout_seconds:g} s: look before you repeat"
        return GatewayError(ErrorCode.DEADLINE_EXCEEDED, message)


def _is_json(headers: Mapping[bytes, bytes]) -> bool:
    """Whether the body will be read as JSON, as FastAPI does where nothing else is said."""
    return b"json" in headers.get(b"content-type", b"json").lower()


def _add_slash(scope: Scope) -> None:
    """Make `/node/flows` mean `/node/flows/`: a redirect would make curl print nothing."""
    path: str = scope["path"]
    if path.startswith("/node/") and not path.endswith("/"):
        scope["path"] = path + "/"
        scope["raw_path"] = scope.get("raw_path", path.encode()).partition(b"?")[0] + b"/"


class _Exchange:
    """One request and its answer."""

    def __init__(
        self,
        receive: Receive,
        send: Send,
        request_id: bytes,
        *,
        limit: int,
        is_json: bool,
    ) -> None:
        self.headers: Headers = []
        """What routes add to the answer, whatever it is."""
        self.patience: asyncio.Timeout | None = None
        """Ends the request, unless its answer has begun."""
        self._is_json = is_json
        self._chunks: list[bytes] = []
        self._receive = receive
        self._send = send
        self._request_id = request_id
        self.limit = limit
        self._size = 0
        self._started = False
        self._refused = False

    async def receive(self) -> Message:
        """Return the next part of the body; over a limit, refuse it and seem disconnected."""
        message = await self._receive()
        try:
            self._check(message)
        except GatewayError as refusal:
            if not self._started:
                await self.refuse(refusal)
                self._refused = True
                return {"type": "http.disconnect"}
        return message

    def _check(self, message: Message) -> None:
        chunk: bytes = message.get("body", b"")
        self._size += len(chunk)
        if self._size > self.limit:
            raise too_large(self.limit)
        if self._is_json and message["type"] == "http.request":
            self._chunks.append(chunk)
            if not message.get("more_body", False):
                check_depth(b"".join(self._chunks))
                self._chunks.clear()

    async def send(self, message: Message) -> None:
        """Pass a part of the answer on, with the request's id in its headers."""
        if self._refused:
            return
        if message["type"] == "http.response.start":
            self._started = True
            if self.patience is not None and not self.patience.expired():
                self.patience.reschedule(None)
            own = (b"x-request-id", self._request_id)
            message["headers"] = [
                *with_security_headers(message.get("headers", ())),
                *self.headers,
                own,
            ]
        await self._send(message)

    async def refuse(self, error: Exception) -> None:
        """Answer with `error`, unless an answer has begun."""
        refusal = as_gateway_error(error, self._request_id)
        if not self._started:
            await send_answer(self.send, problem(refusal, self._request_id))
