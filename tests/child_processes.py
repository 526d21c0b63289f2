"""The child processes of a process, by what their command line says."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import psutil


def children(
    word: str = "", parent: int | None = None, *, recursive: bool = False
) -> list[psutil.Process]:
    """Return the running children of `parent`, by default of this process, the oldest first.

    Their command line has `word`. One that ends meanwhile is left out, and so is a zombie, which
    other tests may have left to this process.
    """
    found = []
    for pid in _child_ids(parent or os.getpid()):
        with suppress(psutil.NoSuchProcess):
            child = psutil.Process(pid)
            if child.status() != psutil.STATUS_ZOMBIE and word in " ".join(child.cmdline()):
                found.append(child)
            if recursive:
                found += children(word, pid, recursive=True)
    return found


def children_of_fork_servers(module: str, parent: int | None = None) -> list[psutil.Process]:
    """Return the processes that the fork servers of `parent` for a module have forked."""
    return [forked for server in children(module, parent) for forked in children("", server.pid)]


def _child_ids(parent: int) -> list[int]:
    """Return them from the kernel's list: psutil reads the files of all processes for it."""
    ids: list[int] = []
    with suppress(OSError):  # it has ended
        for thread in Path("/proc", str(parent), "task").iterdir():
            with suppress(OSError):
                ids += map(int, (thread / "children").read_text().split())
    return ids
