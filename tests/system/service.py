"""A machine as docs/operations.md assumes it: its paths, and a `systemctl` for one service."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.architecture.repository import ROOT
from tests.slipstream.running import environment

_PAGE = ROOT / "docs" / "operations.md"
_BLOCK = re.compile(r"<!-- test: ([a-z ]+) -->\n```console\n(.*?)```", re.DOTALL)
_COMMAND_SECONDS = 120

_SYSTEMCTL = """\
import os, signal, subprocess, sys, time
FOLDER, COMMAND, SETTINGS = {folder!r}, {command!r}, {settings!r}
PID, OUTPUT = os.path.join(FOLDER, "service.pid"), os.path.join(FOLDER, "service.out")


def start():
    with open(OUTPUT, "w") as out:
        environment = {{**os.environ, **SETTINGS}}
        process = subprocess.Popen(
            COMMAND, stdout=out, stderr=out, start_new_session=True, env=environment
        )
    with open(PID, "w") as file:
        file.write(str(process.pid))
    while "API documentation" not in open(OUTPUT).read():
        if process.poll() is not None:
            sys.exit(open(OUTPUT).read())
        time.sleep(0.05)


def stop():
    pid = int(open(PID).read()) if os.path.exists(PID) else 0
    try:
        os.kill(pid or 2**30, signal.SIGTERM)
        while True:
            os.kill(pid, 0)
            time.sleep(0.05)
    except ProcessLookupError:
        pass


actions = {{"start": [start], "stop": [stop], "restart": [stop, start], "disable": [stop]}}
for action in actions[sys.argv[1]]:
    action()
"""


class Service:
    """Executes the blocks of the page with this machine's paths in place of the page's."""

    def __init__(
        self, folder: Path, settings: Mapping[str, str], replaced: Sequence[tuple[str, str]]
    ) -> None:
        """Let the service have `settings`; `replaced` are patterns in commands, and their text."""
        self.folder = folder
        self.state = folder / "state"
        self.output = folder / "service.out"
        self._replaced = [
            *replaced,
            ("/var/lib/slipstream", str(self.state)),
            ("/var/backups/slipstream", str(folder / "backups")),
        ]
        programs = folder / "bin"
        programs.mkdir()
        up = [sys.executable, "-m", "slipstream", "up", "--no-demo", "--state", str(self.state)]
        script = programs / "systemctl.py"
        script.write_text(
            _SYSTEMCTL.format(folder=str(folder), command=up, settings=dict(settings))
        )
        self._write(programs / "systemctl", f'exec {sys.executable} {script} "$@"')
        self._write(programs / "slipstream", f'exec {sys.executable} -m slipstream "$@"')
        self._path = f"{programs}:{os.environ['PATH']}"

    def execute(self, name: str) -> str:
        """Execute a block of the page; return what its commands print."""
        (commands,) = [text for found, text in blocks() if found == name]
        return self.run(commands)

    def run(self, commands: str, *, status: int = 0) -> str:
        """Execute commands, each of which must succeed, and return their output."""
        for pattern, text in self._replaced:
            commands = re.sub(pattern, text, commands, flags=re.MULTILINE)
        done = subprocess.run(
            ["/bin/sh", "-e", "-c", commands],
            cwd=ROOT,
            env={**environment(), "PATH": self._path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=_COMMAND_SECONDS,
        )
        assert done.returncode == status, f"{commands}\n{done.stdout}\n{self._service_output()}"
        return done.stdout

    def answer(self, *words: str) -> Any:
        """Return the JSON document of `slipstream … --json`, in a shell without settings."""
        command = [sys.executable, "-m", "slipstream", *words, "--json", "--state", str(self.state)]
        done = subprocess.run(
            command, cwd=ROOT, env=environment(), capture_output=True, check=True, timeout=60
        )
        return json.loads(done.stdout)

    def _service_output(self) -> str:
        return self.output.read_text() if self.output.exists() else ""

    def _write(self, program: Path, line: str) -> None:
        program.write_text(f"#!/bin/sh\n{line}\n")
        program.chmod(0o700)


def blocks() -> list[tuple[str, str]]:
    """Return name and commands of every executed block of the page, in order."""
    found = _BLOCK.findall(_PAGE.read_text())
    return [
        (name, "".join(f"{line[2:]}\n" for line in text.splitlines() if line.startswith("$ ")))
        for name, text in found
    ]
