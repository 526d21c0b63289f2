"""What the command lines of the benchmarks have in common."""

from __future__ import annotations

import os
from pathlib import Path


def count(text: str) -> int:
    """Read a whole number from 1 up; raise ValueError on anything else."""
    if int(text) < 1:
        raise ValueError(text)
    return int(text)


def cache_folder() -> Path:
    """Return where the environments of the peers and of the load generator are kept."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "slipstream-benchmarks"
