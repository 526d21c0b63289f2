"""A ceiling on memory, so that one absurd request fails instead of the whole process."""

from __future__ import annotations

import os
import resource
from pathlib import Path

from inference_server.runtime.cgroups import ROOT, folders


def available(root: Path = ROOT) -> int:
    """Return the bytes that this process can have at most: the machine's, or its cgroup's limit."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limits = [machine]
    for folder in folders("memory", root):
        for file in ("memory.max", "memory.limit_in_bytes"):
            try:
                text = (folder / file).read_text().strip()
            except OSError:
                continue
            if text.isdigit():
                limits.append(int(text))
    return min(limits)


def cap(size: int) -> None:
    """Have allocations fail once the process's data would pass `size` bytes.

    A model can be asked for a tensor that no machine holds, by an input that says its shape. The
    kernel would promise the memory, and kill the process when it is touched. With a limit ONNX
    Runtime is refused, and so is that call, alone.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = size if hard == resource.RLIM_INFINITY else min(size, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
