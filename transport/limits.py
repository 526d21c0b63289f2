"""What a peer may cost us: the limits of one connection, and patience with its bad habits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from transport.http2 import ErrorCode, PeerError

_MIB = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one connection may use. The defaults suit both sides of a hop on one machine."""

    max_message_bytes: int = 64 * _MIB
    """A larger message ends its call with RESOURCE_EXHAUSTED."""
    max_buffered_bytes: int = 256 * _MIB
    """Of messages that have begun to arrive, all streams together; past it a call is ended."""
    max_queued_bytes: int = 256 * _MIB
    """Of messages that wait for a slow reader, all streams together; past it the connection is."""
    max_concurrent_streams: int = 1000
    max_header_bytes: int = 16 * 2**10
    """Of one header list, compressed or not."""
    max_nuisance_per_second: int = 3000
    """Frames that cost the peer nothing and are of no use: SETTINGS, PING, resets, empty DATA."""
    stream_window: int = 8 * _MIB
    """Bytes that a peer may send on a stream before the application has taken any."""
    connection_window: int = 64 * _MIB
    max_frame_bytes: int = 4 * _MIB
    handshake_seconds: float = 10.0
    """Until the peer's first SETTINGS frame must have arrived."""
    message_seconds: float | None = None
    """Until the message of a unary call, or the rest of a header block, must have arrived; looked
    at that often, so that it may take twice as long. None: as long as it takes."""
    idle_seconds: float | None = None
    """How long a connection may have no call before the server ends it."""
    stall_seconds: float = 60.0
    """How long a peer may leave its socket unread while we have something to write."""
    keepalive_seconds: float | None = None
    """Silence after which the peer is asked for a sign of life; as long again, and it is dead."""


class Patience:
    """Counts frames that do not help anybody, and loses patience when they come in floods.

    Args:
        per_second: that many are borne in any second.
        clock: monotonic seconds.
    """

    def __init__(self, per_second: int, clock: Callable[[], float]) -> None:
        self._per_second = per_second
        self._clock = clock
        self._count = 0
        self._since = clock()

    def bear(self, what: str) -> None:
        """Count one frame; `what` names the habit.

        Raises:
            PeerError: there were too many within a second.
        """
        self._count += 1
        if self._count <= self._per_second:
            return
        now = self._clock()
        if now - self._since < 1.0:
            text = f"more than {self._per_second} useless frames in a second, the last: {what}"
            raise PeerError(ErrorCode.ENHANCE_YOUR_CALM, text)
        self._count = 1
        self._since = now
