"""Inference servers that no host starts."""

from __future__ import annotations

import subprocess
import sys
import weakref
from pathlib import Path

from tests.slipstream.running import environment
from tests.timing import TIMEOUT_SECONDS


class RegisteredServer:
    """`slipstream inference-server --register`, as systemd or Kubernetes would start it."""

    def __init__(
        self, name: str, folder: Path, *options: str, model: str = "echo", **variables: str
    ) -> None:
        """Start it; what it logs goes into a file `name` in `folder`."""
        self._log = folder / f"{name}.log"
        command = [sys.executable, "-m", "slipstream", "inference-server", *options]
        command += ["--tcp", "127.0.0.1:0", "--model", model, "--version", "1"]
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                command, stderr=log, env={**environment(), **variables}, cwd=folder
            )
        weakref.finalize(self, self.process.kill)

    def log(self) -> str:
        """Return its output so far."""
        return self._log.read_text()

    def stop(self) -> None:
        """End it as systemd does."""
        self.process.terminate()
        assert self.process.wait(TIMEOUT_SECONDS) == 0, self.log()
        assert "Traceback" not in self.log(), self.log()
