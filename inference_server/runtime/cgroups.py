"""Where the kernel keeps the limits of this process: its control groups, version 1 and 2."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

ROOT = Path("/")


def folders(controller: str, root: Path = ROOT) -> Iterator[Path]:
    """Yield the folders whose limits on `controller` ("cpu", "memory") hold for this process.

    The process's own group comes first, then those above it: each may set a limit. In a container
    the path that the kernel reports is often the host's and does not exist; what is mounted at
    the top is then the container's own group. `root` is where /proc and /sys are.
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
