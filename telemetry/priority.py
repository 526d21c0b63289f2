"""The priority of threads, where the system knows one."""

from __future__ import annotations

import os
import sys
import threading

NICENESS = 10
"""Of threads that compute for long: event loops go first where processors are scarce."""


def lower_thread_priority() -> None:
    """Have this thread, and those that it starts, compute only while others do not need to."""
    if sys.platform == "linux":  # elsewhere only whole processes have a priority
        thread = threading.get_native_id()
        niceness = max(NICENESS, os.getpriority(os.PRIO_PROCESS, thread))
        os.setpriority(os.PRIO_PROCESS, thread, niceness)
