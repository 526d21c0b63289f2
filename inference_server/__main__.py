"""`python -m inference_server`: serve one version of one model until told to stop."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from time import CLOCK_BOOTTIME, clock_gettime, perf_counter

from inference_server.process import serve

_START_TIME_FIELD = 19
"""Of /proc/self/stat, counted behind the process name: the start in clock ticks since boot."""


def main() -> None:
    """Run the process."""
    serve(sys.argv[1:], started_at=perf_counter() - _age())


def _age() -> float:
    """Return the seconds since the process started: most of a small model's boot is imports.

    Wall-clock time would not do: the kernel knows the time of its own boot to the second only.
    """
    if sys.platform != "linux":
        return 0.0
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    started_at = int(fields[_START_TIME_FIELD]) / os.sysconf("SC_CLK_TCK")
    return max(0.0, clock_gettime(CLOCK_BOOTTIME) - started_at)


if __name__ == "__main__":
    main()
