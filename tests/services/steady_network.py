"""Whether the network of this machine changes, or stays as it is, while tests run at the same time.

Chromium gives up what it loads (ERR_NETWORK_CHANGED) when an interface comes or goes.
"""

from __future__ import annotations

import fcntl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LOCK = Path(tempfile.gettempdir()) / "slipstream-tests-network.lock"


@contextmanager
def steady_network() -> Iterator[None]:
    """Wait until no test changes the network, and have those that want to wait."""
    with _LOCK.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


@contextmanager
def changing_network() -> Iterator[None]:
    """Wait for the tests that need a steady network, and have others wait."""
    with _LOCK.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
