"""Helpers for pure ASGI applications."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, TypeVar

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
Result = TypeVar("Result")
_WATCH_AFTER_SECONDS = 0.05
"""Work that ends sooner pays only a timer for `unless_disconnected`, not a task."""


class DisconnectedError(Exception):
    """The client disconnected before its request was complete, or before it was answered."""


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


async def unless_disconnected(receive: Receive, work: Awaitable[Result]) -> Result:
    """Return the result of `work`, for a request whose body has been read.

    Raises:
        DisconnectedError: the client has disconnected; `work` was cancelled.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None, "an ASGI application runs in a task"
    watching: asyncio.Task[None] | None = None
    disconnected = False

    async def watch() -> None:
        nonlocal disconnected
        while (await receive())["type"] != "http.disconnect":
            pass
        disconnected = True
        task.cancel()

    def start() -> None:
        nonlocal watching
        watching = loop.create_task(watch())

    timer = loop.call_later(_WATCH_AFTER_SECONDS, start)
    try:
        return await work
    except asyncio.CancelledError:
        if disconnected and not task.uncancel():
            raise DisconnectedError from None
        raise
    finally:
        timer.cancel()
        if watching is not None:
            watching.cancel()


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
