"""The child processes of a process, by the module that they run."""

from __future__ import annotations

from contextlib import suppress

import psutil


def fork_servers(module: str, parent: int | None = None) -> list[psutil.Process]:
    """Return the fork servers of `parent`, by default of this process, for a module.

    Other tests may have left processes of other kinds for those that follow.
    """
    found = []
    for child in psutil.Process(parent).children():
        with suppress(psutil.NoSuchProcess):
            if child.status() != psutil.STATUS_ZOMBIE and module in child.cmdline():
                found.append(child)
    return found


def children_running(module: str, parent: int | None = None) -> list[psutil.Process]:
    """Return the processes that the fork servers of `parent` have forked."""
    found = []
    for server in fork_servers(module, parent):
        with suppress(psutil.NoSuchProcess):
            found += [one for one in server.children() if one.status() != psutil.STATUS_ZOMBIE]
    return found
