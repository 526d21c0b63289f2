"""Memory of large blocks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from telemetry.allocator import ALLOCATION

pytestmark = pytest.mark.processes

SIZE = 64 * 2**20
SHOW = f"""
from pathlib import Path
block = bytearray(b"x") * {SIZE}
print(next(line for line in Path("/proc/self/smaps_rollup").read_text().splitlines()
           if line.startswith("AnonHugePages")).split()[1])
"""


def huge_bytes(environment: dict[str, str]) -> int:
    """Return how much of a process with a large block lies in huge pages."""
    command = [sys.executable, "-c", SHOW]
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return int(shown.stdout) * 1024


def test_large_blocks_lie_in_huge_pages_where_the_kernel_has_them() -> None:
    mode = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    offered = mode.exists() and "[never]" not in mode.read_text()
    bare = {name: text for name, text in os.environ.items() if name not in ALLOCATION}
    assert (huge_bytes({**bare, **ALLOCATION}) > SIZE // 2) is offered
