"""A private server process, which a test may kill and suspend."""

from __future__ import annotations

import signal
import subprocess
import time
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from tests.timing import TIMEOUT_SECONDS


class Service:
    """A server that can be restarted at the same address."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        answers: Callable[[], bool],
        *,
        folder: Path,
        user: str | None = None,
    ) -> None:
        """Remember how to start it, without starting it; its log is written to `folder`."""
        self.name = name
        self._command = command
        self._answers = answers
        self._folder = folder
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server and wait until it is ready."""
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
        """Send a signal and wait for the exit."""
        assert self._process is not None
        self._process.send_signal(number)
        self._process.wait(TIMEOUT_SECONDS)

    def restart(self, number: int = signal.SIGKILL) -> None:
        """Stop the server with a signal and start it again."""
        self.end(number)
        self.start()

    @property
    def is_running(self) -> bool:
        """Whether the process has been started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def suspend(self) -> None:
        """Suspend it with its children: connections stay open without answers."""
        self._to_each(psutil.Process.suspend)

    def resume(self) -> None:
        """Resume what is suspended."""
        self._to_each(psutil.Process.resume)

    def stop(self, number: int = signal.SIGKILL) -> None:
        """Stop the server if it is running."""
        if self.is_running:
            with suppress(psutil.NoSuchProcess):
                self.resume()
            self.end(number)

    def _to_each(self, send: Callable[[psutil.Process], None]) -> None:
        """Send a signal to it, and then to its children: PostgreSQL has one for a connection."""
        assert self._process is not None
        server = psutil.Process(self._process.pid)
        send(server)
        for child in server.children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                send(child)

    def log(self) -> str:
        """Return its log."""
        return (self._folder / f"{self.name}.log").read_text(errors="replace")
