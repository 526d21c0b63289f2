"""Responses of server-sent events."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}


class EventStreamResponse(StreamingResponse):
    """A stream that gives up its place when it ends, also if its client has left before it.

    Args:
        events: encoded.
        give_up: gives up the place; called once.
    """

    def __init__(self, events: AsyncIterator[bytes], give_up: Callable[[], None]) -> None:
        super().__init__(events, media_type="text/event-stream", headers=_HEADERS)
        self._give_up = give_up

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events; see ASGI."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._give_up()
