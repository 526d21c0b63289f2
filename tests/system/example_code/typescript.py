"""The compiler of TypeScript."""

from __future__ import annotations

import subprocess
from pathlib import Path

_OPTIONS = ("--strict", "--noUnusedLocals", "--target", "es2022", "--module", "nodenext")


def compile_types(folder: Path, *filenames: str) -> None:
    """Check the types of programs below a folder with npm packages, and make programs of Node."""
    ran = subprocess.run(
        ["npx", "--no-install", "tsc", *_OPTIONS, "--types", "node", *filenames],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout


def node_command(folder: Path, filename: str) -> list[str]:
    """Return the command that runs what was compiled."""
    return ["node", str(folder / filename.replace(".mts", ".mjs"))]
