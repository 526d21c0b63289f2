"""`python -m inference_server`: serve one version of one model until told to stop."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from time import CLOCK_BOOTTIME, clock_gettime, perf_counter

from inference_server.process import serve

_START_TIME = 19
"""Among the fields of /proc/self/stat that follow the name; in clock ticks since the boot."""


def main() -> None:
    """Run the process."""
    serve(sys.argv[1:], began=perf_counter() - _age())


def _age() -> float:
    """Return how many seconds ago the process started: imports are most of a small model's boot.

    Not by the clock on the wall: the kernel knows the time of its own boot to the second only.
    """
    if sys.platform != "linux":
        return 0.0
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    started = int(fields[_START_TIME]) / os.sysconf("SC_CLK_TCK")
    return max(0.0, clock_gettime(CLOCK_BOOTTIME) - started)


if __name__ == "__main__":
    main()
