"""What a peer may cost us: the limits of one connection."""

from __future__ import annotations

from dataclasses import dataclass

_MIB = 2**20
_BLOCK_FACTOR = 8


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
    """One header list, decompressed; a larger one ends its call with RESOURCE_EXHAUSTED."""
    max_useless_frames: int = 3000
    """Frames that are cheap to send and do no work (SETTINGS, PING, empty DATA …), at once."""
    useless_frames_per_second: int = 500
    """In the long run, beside those that a peer earns by sending messages."""
    max_resets: int = 2000
    """Calls that are reset, at once: a client may cancel all that it has in flight, twice. Four
    times as many from one address."""
    resets_per_second: int = 250
    """In the long run, beside one for each call that is left to be answered."""
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

    @property
    def max_header_block_bytes(self) -> int:
        """Size of a header block or list that ends the connection, because it is not decoded.

        Up to this size it is, although the call is refused: it may change the table that the next
        blocks refer to.
        """
        return _BLOCK_FACTOR * self.max_header_bytes
