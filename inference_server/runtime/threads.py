"""How many threads a run may use: what the process may really use, not what the machine has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from inference_server.runtime.cgroups import ROOT, folders


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadPlan:
    """The CPUs that there are for this process, and the threads that follow from them."""

    cpus: float
    """CPUs that the process may keep busy; a quota can be a fraction."""
    reason: str
    """What sets `cpus`: the cgroup quota or the CPUs that the process may run on."""
    servers: int
    """Inference servers that share them."""
    intra_op: int
    """Threads that work on one run."""

    def __str__(self) -> str:
        shared = f" shared by {self.servers} servers" if self.servers > 1 else ""
        return f"{self.intra_op} threads a run ({self.cpus:g} CPUs by {self.reason}{shared})"


def plan(*, servers: int = 1, affinity: int | None = None, root: Path = ROOT) -> ThreadPlan:
    """Return the plan for this process, one of `servers` that share its CPUs.

    More threads than the quota allows get the whole process paused by the kernel, so a fraction
    is rounded down. `affinity` (CPUs that the process may run on) and `root` (where /proc and
    /sys are) are read from the system unless given.
    """
    if affinity is None:
        affinity = _affinity()
    cpus, reason = float(affinity), "affinity"
    quota = min(_quotas(root), default=cpus)
    if quota < cpus:
        cpus, reason = quota, "cgroup quota"
    return ThreadPlan(
        cpus=cpus, reason=reason, servers=servers, intra_op=max(1, int(cpus / servers))
    )


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # macOS has no affinity


def _quotas(root: Path) -> Iterator[float]:
    """Yield each limit that is set, in CPUs."""
    for folder in folders("cpu", root):
        quota, period = _version_2(folder) or _version_1(folder) or ("max", "")
        if quota not in ("max", "-1"):
            yield int(quota) / int(period)


def _version_2(folder: Path) -> tuple[str, str] | None:
    try:
        quota, period = (folder / "cpu.max").read_text().split()
    except (OSError, ValueError):
        return None
    return quota, period


def _version_1(folder: Path) -> tuple[str, str] | None:
    try:
        quota = (folder / "cpu.cfs_quota_us").read_text().strip()
        return quota, (folder / "cpu.cfs_period_us").read_text().strip()
    except OSError:
        return None
