"""Around FastAPI: request ids, body limits, both forms of each path, and JSON for every error."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.ids import new_id
from gateway.web.asgi import App, Message, Receive, Scope, Send, send_answer, too_large
from gateway.web.faults import as_gateway_error
from gateway.web.problems import problem
from gateway.web.requests import request_id_of


class Shell:
    """Serves `app`; below the `unlimited` path prefixes, routes bound their bodies themselves."""

    def __init__(self, app: App, *, max_body_bytes: int, unlimited: Sequence[str]) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._unlimited = tuple(unlimited)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers: dict[bytes, bytes] = dict(scope["headers"])
        request_id = request_id_of(headers, new_id())
        exchange = _Exchange(receive, send, request_id, self._limit(scope["path"]))
        scope["state"] = {**scope.get("state", {}), "request_id": request_id}
        _add_slash(scope)
        declared = headers.get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > exchange.limit:
            await exchange.refuse(too_large(exchange.limit))
            return
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except Exception as error:
            await exchange.refuse(error)

    def _limit(self, path: str) -> int:
        return 2**63 if path.startswith(self._unlimited) else self._max_body_bytes


def _add_slash(scope: Scope) -> None:
    """Make `/node/flows` mean `/node/flows/`: a redirect would make curl print nothing."""
    path: str = scope["path"]
    if path.startswith("/node/") and not path.endswith("/"):
        scope["path"] = path + "/"
        scope["raw_path"] = scope.get("raw_path", path.encode()).partition(b"?")[0] + b"/"


class _Exchange:
    """One request and its answer."""

    def __init__(self, receive: Receive, send: Send, request_id: bytes, limit: int) -> None:
        self._receive = receive
        self._send = send
        self._request_id = request_id
        self.limit = limit
        self._size = 0
        self._started = False
        self._refused = False

    async def receive(self) -> Message:
        """Return the next part of the body; over the limit, answer 413 and seem disconnected."""
        message = await self._receive()
        self._size += len(message.get("body", b""))
        if self._size > self.limit and not self._started:
            await self.refuse(too_large(self.limit))
            self._refused = True
            return {"type": "http.disconnect"}
        return message

    async def send(self, message: Message) -> None:
        """Pass a part of the answer on, with the request's id in its headers."""
        if self._refused:
            return
        if message["type"] == "http.response.start":
            self._started = True
            message["headers"] = [
                *message.get("headers", ()),
                (b"x-request-id", self._request_id),
            ]
        await self._send(message)

    async def refuse(self, error: Exception) -> None:
        """Answer with `error`, unless an answer has begun."""
        refusal = as_gateway_error(error, self._request_id)
        if not self._started:
            await send_answer(self.send, problem(refusal, self._request_id))
