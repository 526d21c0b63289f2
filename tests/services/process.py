"""A server process of a test's own: it may be killed and frozen without hurting anybody else."""

from __future__ import annotations

import signal
import subprocess
import time
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

TIMEOUT_SECONDS = 30.0


class Service:
    """One server that is started, ended and started again, always at the same address."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        answers: Callable[[], bool],
        *,
        folder: Path,
        user: str | None = None,
    ) -> None:
        """Know how it is started, not more; it writes what it says to `folder`."""
        self.name = name
        self._command = command
        self._answers = answers
        self._folder = folder
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self._folder / f"{self.name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                user=self._user,
                group=self._user,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        weakref.finalize(self, self._process.kill)
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not self._answers():
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.02)

    def end(self, number: int = signal.SIGKILL) -> None:
        """Send a signal, and wait for the end."""
        assert self._process is not None
        self._process.send_signal(number)
        self._process.wait(TIMEOUT_SECONDS)

    def restart(self, number: int = signal.SIGKILL) -> None:
        """End it by a signal, and start it again."""
        self.end(number)
        self.start()

    def suspend(self) -> None:
        """Freeze it: connections to it stay open, and nothing is answered."""
        assert self._process is not None
        psutil.Process(self._process.pid).suspend()

    def resume(self) -> None:
        """Let it go on."""
        assert self._process is not None
        psutil.Process(self._process.pid).resume()

    def stop(self, number: int = signal.SIGKILL) -> None:
        """End it, if it runs at all."""
        if self._process is not None and self._process.poll() is None:
            with suppress(psutil.NoSuchProcess):
                self.resume()
            self.end(number)

    def log(self) -> str:
        """Return what it has said."""
        return (self._folder / f"{self.name}.log").read_text(errors="replace")
