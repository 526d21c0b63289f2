"""The memory of a process and of all below it, and whether it grows."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import psutil

_ROLES = (
    ("inference_server", "inference server"),
    ("gateway", "gateway"),
    ("slipstream", "supervisor"),
)
"""A word of the command line, and what it means; the first that fits counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """What one process takes, in bytes."""

    pid: int
    role: str
    rss: int
    pss: int

    @property
    def title(self) -> str:
        """Return what to call it."""
        return f"{self.role} {self.pid}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighing:
    """What every process took at one moment."""

    at: float
    """Seconds after the start."""
    processes: Sequence[Weight]

    @property
    def pss(self) -> int:
        """Return the memory of all together, each shared page once."""
        return sum(weight.pss for weight in self.processes)


def weigh(root: psutil.Process, at: float) -> Weighing:
    """Return what `root` and every process below it take now."""
    found = []
    for process in (root, *root.children(recursive=True)):
        with suppress(psutil.Error):  # it may just have ended
            memory = process.memory_full_info()
            role = _role(process.cmdline())
            found.append(Weight(pid=process.pid, role=role, rss=memory.rss, pss=memory.pss))
    return Weighing(at=at, processes=found)


def growth(weighings: Sequence[Weighing]) -> float:
    """Return by how many bytes the whole has grown from the first weighing to the last, fitted."""
    if len(weighings) < 3:
        return 0.0
    times = np.array([weighing.at for weighing in weighings])
    slope, _ = np.polyfit(times, [weighing.pss for weighing in weighings], 1)
    return float(slope * (times[-1] - times[0]))


def _role(words: Sequence[str]) -> str:
    line = " ".join(words)
    return next((role for word, role in _ROLES if word in line), "other")
