"""Virtual environments of the peers, one each, kept in the cache folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import orjson

from benchmarks.servers import Program

_MAX_LINE_LENGTH = 300


class InstallError(Exception):
    """pip could not install a peer; the message is its last line."""


class Venvs:
    """The environments below one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def python(self, program: Program) -> Path:
        """Return the interpreter that runs the program."""
        if not program.packages:
            return Path(sys.executable)
        return self._folder / program.name / "bin" / "python"

    def install(self, program: Program, on_line: Callable[[str], None]) -> None:
        """Install a peer unless it is installed; raise InstallError. Takes a minute or more."""
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
            _run(command, on_line)
        stamp.write_text(wanted)

    def versions(self, program: Program) -> dict[str, str]:
        """Return the packages in a peer's environment, name → version."""
        command = [str(self.python(program)), "-m", "pip", "list", "--format", "json"]
        listed = subprocess.run(command, check=True, capture_output=True).stdout
        return {package["name"]: package["version"] for package in orjson.loads(listed)}


def _run(command: list[str], on_line: Callable[[str], None]) -> None:
    """Run a command and report its lines; raise InstallError with the reason if it fails."""
    lines = [f"{' '.join(command[:3])} printed nothing"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout
        for line in filter(None, map(str.strip, process.stdout)):
            lines.append(line[:_MAX_LINE_LENGTH])
            on_line(lines[-1])
    if process.returncode:
        reasons = [line for line in lines if line.startswith("ERROR")]
        raise InstallError((reasons or lines)[-1])
