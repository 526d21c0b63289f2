"""How much memory a process takes."""

from __future__ import annotations

import psutil


def memory_of(pid: int) -> int | None:
    """Return the bytes that `pid` takes, or None where it has gone.

    Pages shared with others count in proportion (PSS) where the kernel says so, else in full.
    """
    try:
        process = psutil.Process(pid)
        try:
            proportional: int = process.memory_full_info().pss
        except (AttributeError, psutil.AccessDenied):
            return int(process.memory_info().rss)
        else:
            return proportional
    except psutil.Error:
        return None
