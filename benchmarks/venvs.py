"""Virtual environments of the peers, each with its own, kept in the cache folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import orjson

from benchmarks.servers import Program

_LONGEST_LINE = 300


class InstallError(Exception):
    """pip could not install a peer; the message is its last word."""


class Venvs:
    """The environments below one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def python(self, program: Program) -> Path:
        """Return the interpreter that the program runs on."""
        if not program.packages:
            return Path(sys.executable)
        return self._folder / program.name / "bin" / "python"

    def install(self, program: Program, said: Callable[[str], None]) -> None:
        """Install a peer unless it is there; raise InstallError. A minute or more each."""
        stamp = self._folder / program.name / "installed.txt"
        wanted = "\n".join((sys.version, *program.packages))
        if stamp.exists() and stamp.read_text() == wanted:
            return
        shutil.rmtree(stamp.parent, ignore_errors=True)
        stamp.parent.mkdir(parents=True)
        pip = ["-m", "pip", "install", "--disable-pip-version-check", "--progress-bar", "off"]
        for command in (
            [sys.executable, "-m", "venv", str(stamp.parent)],
            [str(self.python(program)), *pip, *program.packages],
        ):
            _follow(command, said)
        stamp.write_text(wanted)

    def versions(self, program: Program) -> dict[str, str]:
        """Return what is installed for a peer, name → version."""
        command = [str(self.python(program)), "-m", "pip", "list", "--format", "json"]
        listed = subprocess.run(command, check=True, capture_output=True).stdout
        return {package["name"]: package["version"] for package in orjson.loads(listed)}


def _follow(command: list[str], said: Callable[[str], None]) -> None:
    """Run a command and pass its lines on; raise InstallError with its reason if it fails."""
    lines = [f"{' '.join(command[:3])} said nothing"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout
        for line in filter(None, map(str.strip, process.stdout)):
            lines.append(line[:_LONGEST_LINE])
            said(lines[-1])
    if process.returncode:
        reasons = [line for line in lines if line.startswith("ERROR")]
        raise InstallError((reasons or lines)[-1])
