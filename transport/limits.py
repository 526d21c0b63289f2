"""What a peer may cost us: the limits of one connection, and a guard against floods of frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from transport.http2 import Http2ErrorCode, PeerError

_MIB = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpcLimits:
    """Limits of one connection. The defaults suit both sides of a hop within one machine."""

    max_message_bytes: int = 64 * _MIB
    """A larger message ends its call with RESOURCE_EXHAUSTED."""
    max_buffered_bytes: int = 256 * _MIB
    """Incomplete messages, over all streams; exceeding it ends the call that does."""
    max_queued_bytes: int = 256 * _MIB
    """Unsent messages, over all streams; exceeding it ends the connection (servers only)."""
    max_concurrent_streams: int = 1000
    max_header_bytes: int = 16 * 2**10
    """One header list, both compressed and decompressed."""
    max_useless_frames_per_second: int = 3000
    """Frames that are cheap to send and do no work: SETTINGS, PING, resets, empty DATA …"""
    stream_window: int = 8 * _MIB
    """Bytes that a peer may send on a stream before the application has read any."""
    connection_window: int = 64 * _MIB
    max_frame_bytes: int = 4 * _MIB
    handshake_seconds: float = 10.0
    """Until the peer's first SETTINGS frame must have arrived."""
    message_seconds: float | None = None
    """Until the message of a unary call, or the rest of a header block, must have arrived. It is
    checked at that interval, so it may take up to twice as long. None: no limit."""
    idle_seconds: float | None = None
    """Time without a call after which the server closes the connection. None: no limit."""
    stall_seconds: float = 60.0
    """How long a peer may leave its socket unread while we have something to write."""
    keepalive_seconds: float | None = None
    """Silence after which we send a PING; after as long again the connection is closed."""


class FloodGuard:
    """Counts frames that do no useful work, and ends the connection when they come in floods.

    Such frames cost the peer almost nothing and us a little each (CVE-2019-9512 and its relatives,
    "rapid reset" CVE-2023-44487). Well-behaved peers send some of them, too: only their rate tells.

    Args:
        per_second: how many are allowed within a second.
        clock: monotonic seconds.
    """

    def __init__(self, per_second: int, clock: Callable[[], float]) -> None:
        self._per_second = per_second
        self._clock = clock
        self._count = 0
        self._since = clock()

    def count(self, what: str) -> None:
        """Count one frame; `what` names its kind in the error.

        Raises:
            PeerError: there were too many within a second.
        """
        self._count += 1
        if self._count <= self._per_second:
            return
        now = self._clock()  # read only once per `per_second` frames: the clock costs more
        if now - self._since < 1.0:
            text = f"more than {self._per_second} useless frames in a second, the last: {what}"
            raise PeerError(Http2ErrorCode.ENHANCE_YOUR_CALM, text)
        self._count = 1
        self._since = now
