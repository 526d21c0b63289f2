"""The limit of open files."""

from __future__ import annotations

import subprocess
import sys

import pytest

_PROGRAM = """
import resource
from telemetry.open_files import raise_open_file_limit
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 512))
raise_open_file_limit()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.processes
def test_the_soft_limit_becomes_the_hard_one() -> None:
    said = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, check=True)
    assert said.stdout.split() == [b"512", b"512"]
