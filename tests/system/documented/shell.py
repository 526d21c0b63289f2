"""Executes blocks of commands with bash, as a reader would in a terminal."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from tests.slipstream.running import environment
from tests.timing import TIMEOUT_SECONDS

_BLOCK_SECONDS = 240

_SLIPSTREAM = """\
#!/usr/bin/env bash
# What a reader leaves running in another terminal goes on in the background; what follows changes
# is interrupted after some seconds; `bench` measures for a moment.
follow() {{
  timeout --signal=INT 5 {command} "$@"
  status=$?
  [ $status = 124 ] || exit $status
}}
serve() {{
  ready=$1; shift
  log=$(mktemp --tmpdir={folder} --suffix=.served)
  {command} "$@" > "$log" 2>&1 &
  echo $! >> {pids}
  until grep -q "$ready" "$log"; do
    kill -0 $! 2> /dev/null || {{ cat "$log" >&2; exit 1; }}
    sleep 0.1
  done
}}
case "$1 $2" in
  "up "*) serve 'API documentation' "$@" ;;
  "webhooks listen") serve Waiting "$@" ;;
  "events "*) follow "$@" ;;
  "models logs"|"logs --follow") follow "$@" ;;
  "bench "*) {command} "$@" --seconds 0.2 --warmup 0 ;;
  *) exec {command} "$@" ;;
esac
"""
_CURL = """\
#!/usr/bin/env bash
# A stream does not end by itself; an error of HTTP is one.
case "$*" in
  */node/events/*) {curl} --max-time 3 "$@" || [ $? = 28 ] ;;
  *) exec {curl} --fail-with-body "$@" ;;
esac
"""


class Shell:
    """A terminal: a folder, variables, and programs that end."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self.folder = folder
        self._pids = folder / "pids"
        programs = folder / "bin"
        programs.mkdir()
        curl = shutil.which("curl")
        assert curl is not None
        slipstream = f"{sys.executable} -m slipstream"
        _write(
            programs / "slipstream",
            _SLIPSTREAM.format(command=slipstream, folder=folder, pids=self._pids),
        )
        _write(programs / "curl", _CURL.format(curl=curl))
        self._environment = {
            **environment(),
            "HOME": str(folder),
            "PATH": f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            **variables,
        }

    def set(self, **variables: str) -> None:
        """Set variables."""
        self._environment.update(variables)

    def run(self, script: str, *, typed: str = "", status: int = 0) -> str:
        """Execute a script; return what it prints. The first command that fails ends it."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.folder,
            env=self._environment,
            input=typed,
            capture_output=True,
            text=True,
            timeout=_BLOCK_SECONDS,
            check=False,
        )
        assert done.returncode == status, f"{script}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def close(self) -> None:
        """Stop what goes on in the background."""
        pids = self._pids.read_text().split() if self._pids.exists() else []
        running = [psutil.Process(int(pid)) for pid in pids if psutil.pid_exists(int(pid))]
        for process in running:
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not all(map(_has_ended, running)):
            assert time.monotonic() < deadline, running
            time.sleep(0.05)


def _has_ended(process: psutil.Process) -> bool:
    """Whether it has ended; init, whose child it is now, may take its status much later."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _write(program: Path, text: str) -> None:
    program.write_text(text)
    program.chmod(0o755)
