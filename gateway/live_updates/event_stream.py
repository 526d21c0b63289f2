"""The changes of a user's resources as server-sent events (HTML Living Standard, 9.2).

The first event is `ready`, or `reset` where changes may have been missed. Each `changes` event has
all items since the one before; a stream sends at most four a second. An id names the channel that
it comes from, as each process has its own channels and numbers: another one answers with `reset`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import orjson

from gateway.live_updates.channel import Channel, Stream

HEARTBEAT_SECONDS = 15.0
"""Silence after which a comment is sent, so that proxies do not close the connection."""
_PAUSE_SECONDS = 0.25
"""Between two messages of a stream."""
_START = b"retry: 1000\n\n"
_HEARTBEAT = b": nothing new\n\n"
_MAX_DIGITS = 15


def read_last_event_id(channel: Channel, value: str | None) -> int | None:
    """Return the number in an event id of this channel; None: it is another one's."""
    name, _, number = (value or "").rpartition("-")
    if name != channel.name or not number.isascii() or not number.isdigit():
        return None
    return int(number) if len(number) <= _MAX_DIGITS else None


async def stream_changes(
    stream: Stream,
    *,
    is_new: bool,
    seconds: float,
    heartbeat: float = HEARTBEAT_SECONDS,
) -> AsyncIterator[bytes]:
    """Yield what a stream is told.

    Ends after `seconds`, or earlier if the stream is ended; clients then connect again. `is_new`:
    the client has not named an event of a stream before, so that it has missed nothing.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    yield _START
    first = "ready" if is_new or stream.resumes else "reset"
    yield _event(first, stream, b"{}")
    while not stream.ended and (left := until - loop.time()) > 0:
        stream.wake.clear()
        items = stream.channel.since(stream.position, stream.topics)
        stream.position = stream.channel.last
        if items is None:
            yield _event("reset", stream, b"{}")
        elif items:
            data = orjson.dumps({"items": [item.shown() for item in items]})
            yield _event("changes", stream, data)
        else:
            if not await _woken(stream, min(heartbeat, left)):
                yield _HEARTBEAT
            continue
        await asyncio.sleep(min(_PAUSE_SECONDS, left))


async def _woken(stream: Stream, seconds: float) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            return await stream.wake.wait()
    return False


def _event(name: str, stream: Stream, data: bytes) -> bytes:
    event_id = f"{stream.channel.name}-{stream.position}"
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (event_id.encode(), name.encode(), data)
