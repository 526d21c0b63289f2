"""The child processes of a process, by the module that they run."""

from __future__ import annotations

from contextlib import suppress

import psutil


def children_running(module: str, parent: int | None = None) -> list[psutil.Process]:
    """Return the children of `parent`, by default of this process, that run a module.

    Other tests may have left processes of other kinds for those that follow.
    """
    found = []
    for child in psutil.Process(parent).children():
        with suppress(psutil.NoSuchProcess):
            if child.status() != psutil.STATUS_ZOMBIE and module in child.cmdline():
                found.append(child)
    return found
