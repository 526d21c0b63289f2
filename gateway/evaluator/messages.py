"""What gateway and evaluator exchange over their socket: a header, then a body."""

from __future__ import annotations

import struct
from enum import IntFlag

REQUEST = struct.Struct("<Qdd")
"""Bytes of the body; seconds until the deadline; seconds of CPU time."""
REPLY = struct.Struct("<QB")
"""Bytes of the body; a ReplyFlag."""
MAX_REPLY_BYTES = 8 << 20
"""The event loop decodes a reply in about 10 ms per MiB at most."""


class ReplyFlag(IntFlag):
    """What a reply says about its process."""

    OUT_OF_MEMORY = 1
    """There is no body: the work needs more memory than the process may use."""
    TOO_LARGE = 2
    """There is no body: it is larger than MAX_REPLY_BYTES."""
    LAST = 4
    """The process ends: it has grown, and a new one is smaller."""
