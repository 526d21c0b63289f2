"""What this process exchanges with a child, and with the fork server about one.

A child: over a socket, a header, then what it announces.
"""

from __future__ import annotations

import struct
from enum import IntFlag

READY = b"\n"
"""What a child sends first, when it can take requests."""
REQUEST = struct.Struct("<QQdd")
"""Bytes of the request and of its body; seconds until the deadline; seconds of CPU time. Zero
seconds: no timer."""
REPLY = struct.Struct("<QB")
"""Bytes of the reply; a ReplyFlag."""

FORK = b"f"
LOWER = b"l"
"""What the owner requests of the fork server: a child, whose descriptors come with the byte; a
lower priority for one."""
PRIORITY = struct.Struct("<qb")
"""What follows LOWER: a pid; a niceness."""
REPORT = struct.Struct("<q")
"""What the fork server says of a child: its pid, or a negative `errno` if there is none; then its
exit status, negative for a signal."""


class ReplyFlag(IntFlag):
    """What a reply says about its process."""

    OUT_OF_MEMORY = 1
    """There is no reply: the work needs more memory than the process may use."""
    TOO_LARGE = 2
    """There is no reply: it is larger than the program allows."""
    LAST = 4
    """The process ends: it has grown, and a new one is smaller; or it was slowed."""
