"""Children that another process has started, and that became ours when it ended. Linux only."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_SET_CHILD_SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER of prctl(2)."""


@contextmanager
def subreaper() -> Iterator[None]:
    """Have every descendant that becomes an orphan become our child, inside of this context.

    Not for longer than needed: of strangers nobody would take note, and dead they stay zombies.

    Raises:
        OSError: the kernel refuses.
    """
    _set_subreaper(yes=True)
    try:
        yield
    finally:
        _set_subreaper(yes=False)


class ReparentedProcess:
    """A child that no `subprocess.Popen` knows; has what Child needs of one."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._status: int | None = None
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        """Return the exit status, negative for a signal; None while it runs."""
        with self._lock:
            if self._status is None:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                if pid:
                    self._status = os.waitstatus_to_exitcode(status)
            return self._status

    def wait(self) -> int:
        """Block until it has ended; return its exit status."""
        while (status := self.poll()) is None:
            # It is `poll` that lets go of the pid, under the lock: no signal goes to a stranger.
            with suppress(ChildProcessError):
                os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        return status

    def terminate(self) -> None:
        """Send SIGTERM, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGTERM)


def _set_subreaper(*, yes: bool) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(_SET_CHILD_SUBREAPER, int(yes), 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, f"prctl(PR_SET_CHILD_SUBREAPER): {os.strerror(number)}")
