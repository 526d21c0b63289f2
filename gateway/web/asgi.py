"""Helpers for pure ASGI applications."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from gateway.errors import GatewayError
from gateway.web.problems import Answer, Headers
from protos.errors import ErrorCode

# Any: ASGI's own dictionaries, see https://asgi.readthedocs.io
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


STREAMED_BODY = "slipstream.streamed_body"
"""ASGI extension: a function by which an application says that it writes the body to disk as it
arrives, so that it does not count as memory."""


class DisconnectedError(Exception):
    """The client disconnected before its request was complete."""


async def read_body(receive: Receive, headers: dict[bytes, bytes], limit: int) -> bytes:
    """Return the request's body.

    Raises:
        GatewayError: PAYLOAD_TOO_LARGE, as soon as the limit is exceeded.
        DisconnectedError: the client has disconnected.
    """
    declared = headers.get(b"content-length")
    if declared is not None and declared.isdigit() and int(declared) > limit:
        raise too_large(limit)
    message = await receive()
    if message["type"] == "http.disconnect":
        raise DisconnectedError
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        if len(body) > limit:
            raise too_large(limit)
        return body
    chunks = [body]
    size = len(body)
    while message.get("more_body", False):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise DisconnectedError
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise too_large(limit)
        chunks.append(chunk)
    return b"".join(chunks)


def too_large(limit: int) -> GatewayError:
    """Return the error for a body over `limit` bytes."""
    message = f"the body: expected at most {limit} bytes, got more: send less per request"
    return GatewayError(ErrorCode.PAYLOAD_TOO_LARGE, message)


async def send_answer(
    send: Send, answer: Answer, extra: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    """Send a whole response; Content-Length is added."""
    status, headers, body = answer
    sent: Headers = [*headers, (b"content-length", b"%d" % len(body)), *extra]
    await send({"type": "http.response.start", "status": status, "headers": sent})
    await send({"type": "http.response.body", "body": body})
