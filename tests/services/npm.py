"""Packages of npm, for tests."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path


def install(source: Path, folder: Path) -> None:
    """Copy `source`, which has a lock file, to the new `folder`, and install what it locks there.

    No package runs a script of its own.
    """
    shutil.copytree(source, folder)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    command += ["--prefer-offline", "--fetch-timeout=20000", "--fetch-retries=5"]
    ran = subprocess.run(command, cwd=folder, check=False, capture_output=True)
    assert ran.returncode == 0, ran.stderr.decode()
