"""A program whose requests take memory and keep it until a file is there."""

from __future__ import annotations

import time
from pathlib import Path

from gateway.children.child import Answer


def answer(request: bytes, body: bytes) -> bytes:
    """Take as many MiB as `request` says, until there is a file at the path `body`."""
    taken = bytearray(int(request) << 20)
    taken[::4096] = b"x" * len(taken[::4096])
    until = Path(body.decode())
    while not until.exists():
        time.sleep(0.01)
    return b"%d" % len(taken)


def start() -> Answer:
    """Return what answers requests."""
    return answer
