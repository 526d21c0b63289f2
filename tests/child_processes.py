"""The child processes of a process, by what their command line says."""

from __future__ import annotations

from contextlib import suppress

import psutil


def children(
    word: str = "", parent: int | None = None, *, recursive: bool = False
) -> list[psutil.Process]:
    """Return the running children of `parent`, by default of this process, the oldest first.

    Their command line has `word`. One that ends meanwhile is left out, and so is a zombie, which
    other tests may have left to this process.
    """
    found = []
    with suppress(psutil.NoSuchProcess):
        for child in psutil.Process(parent).children(recursive=recursive):
            with suppress(psutil.NoSuchProcess):
                if child.status() != psutil.STATUS_ZOMBIE and word in " ".join(child.cmdline()):
                    found.append(child)
    return found


def children_of_fork_servers(module: str, parent: int | None = None) -> list[psutil.Process]:
    """Return the processes that the fork servers of `parent` for a module have forked."""
    return [forked for server in children(module, parent) for forked in children("", server.pid)]
