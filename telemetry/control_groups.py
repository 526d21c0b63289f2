"""Limits of this process by its control groups, version 1 and 2, as containers have them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

ROOT = Path("/")
"""Where /proc and /sys are."""


def available_memory(root: Path = ROOT) -> int:
    """Return the bytes that this process can use at most: the machine's, or its cgroup's limit."""
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for folder in control_group_folders("memory", root):
        for file in ("memory.max", "memory.limit_in_bytes"):
            try:
                text = (folder / file).read_text().strip()
            except OSError:
                continue
            if text.isdigit():
                limits.append(int(text))
    return min(limits)


def control_group_folders(controller: str, root: Path) -> Iterator[Path]:
    """Yield the folders whose limits on `controller` ("cpu", "memory") apply to this process.

    Its own group first, then those above: each may set a limit. In a container the path that the
    kernel reports is often the host's and does not exist; the mounted root is the container's group
    then.
    """
    mount = root / "sys/fs/cgroup"
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top = mount / controllers
        group = PurePosixPath(path.lstrip("/"))
        for folder in (group, *group.parents):
            if (top / folder).is_dir():
                yield top / folder
