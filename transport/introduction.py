"""What each side says first on a connection."""

from __future__ import annotations

from transport import frames
from transport.http2 import DEFAULT_WINDOW, PREFACE, Setting
from transport.limits import Limits


def introduction(limits: Limits, *, is_server: bool) -> bytes:
    """Return our settings and our window; a client says the preface before them."""
    values: dict[int, int] = {
        Setting.INITIAL_WINDOW_SIZE: limits.stream_window,
        Setting.MAX_FRAME_SIZE: limits.max_frame_bytes,
        Setting.MAX_HEADER_LIST_SIZE: limits.max_header_bytes,
    }
    if is_server:
        values[Setting.MAX_CONCURRENT_STREAMS] = limits.max_concurrent_streams
    else:
        values[Setting.ENABLE_PUSH] = 0
    window = frames.window_update(0, limits.connection_window - DEFAULT_WINDOW)
    return (b"" if is_server else PREFACE) + frames.settings(values) + window
