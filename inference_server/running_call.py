"""Which call a run computes, in a file that is still there when the run has ended the process.

Some inputs make ONNX Runtime divide by zero or read what is not there. The call that did it is
known by the id that its gateway gave it.
"""

from __future__ import annotations

import os
from mmap import mmap
from pathlib import Path

ID_BYTES = 8
"""Of the ids that gateways give their calls."""
NO_CALL = bytes(ID_BYTES)


def _beside(socket: Path) -> Path:
    return socket.with_suffix(".call")


def create(socket: Path) -> mmap:
    """Return the memory of the file of the server at `socket`; ID_BYTES, which name no call yet."""
    descriptor = os.open(_beside(socket), os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(descriptor, NO_CALL)
        return mmap(descriptor, ID_BYTES)
    finally:
        os.close(descriptor)


def take(socket: Path) -> str | None:
    """Return the id of the call that ran last, and remove the file; None: it is not known."""
    try:
        call_id = _beside(socket).read_bytes()
    except OSError:
        return None
    remove(socket)
    is_known = len(call_id) == ID_BYTES and call_id != NO_CALL
    return call_id.decode("ascii", "replace") if is_known else None


def remove(socket: Path) -> None:
    """Remove the file, if there is one."""
    _beside(socket).unlink(missing_ok=True)
