"""Receiver and dispatcher processes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import psutil

from gateway.settings import Settings

LEASE_SECONDS = 5.0
TIMEOUT_SECONDS = 2.0
_ATTEMPTS = 30
"""Attempts per event: with fewer, some of 100,000 events would fail all of them by chance."""
_PAUSE_SECONDS = 0.2
_POLL_SECONDS = 0.02
"""In a gateway, writing an event wakes the dispatcher; here they are separate processes."""


class ReceiverProcess:
    """The receiver process, and a port that refuses connections.

    Attributes:
        log_path: the receiver's log.
        secrets: the file with the secrets by path, written when the endpoints are created.
    """

    def __init__(self, folder: Path, fail: float) -> None:
        self.log_path, self.secrets = folder / "log.tsv", folder / "secrets.json"
        self._refuses = socket.socket()
        self._refuses.bind(("127.0.0.1", 0))  # bound without listening
        program = "tests.torture.receiver_program"
        self._process = subprocess.Popen(
            [sys.executable, "-m", program, str(self.log_path), str(self.secrets), str(fail)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self._port = int(self._process.stdout.readline())

    def url(self, path: str) -> str:
        """Return the URL of a path; `/refused/…` has a port that refuses connections."""
        refused = path.startswith("/refused/")
        port = self._refuses.getsockname()[1] if refused else self._port
        return f"http://127.0.0.1:{port}{path}"

    def close(self) -> None:
        """Kill it."""
        _kill(self._process)
        self._refuses.close()


class DispatcherProcesses:
    """A dispatcher process, restarted after each kill.

    Attributes:
        kills: the number of dispatchers killed while sending.
        cpu_seconds: CPU time of ended dispatchers, without their start.
    """

    def __init__(self, settings: Settings) -> None:
        pauses = [_PAUSE_SECONDS] * (_ATTEMPTS - 1)
        self._environment = {
            **os.environ,
            "SLIPSTREAM_STATE": str(settings.state),
            "SLIPSTREAM_DATABASE_URL": settings.database,
            "SLIPSTREAM_WEBHOOK_ALLOW": "127.0.0.0/8",
            "SLIPSTREAM_WEBHOOK_ALLOW_HTTP": "1",
            "SLIPSTREAM_WEBHOOK_TIMEOUT_SECONDS": str(TIMEOUT_SECONDS),
            "SLIPSTREAM_WEBHOOK_SCHEDULE_SECONDS": ",".join(str(each) for each in [0, *pauses]),
        }
        self.kills = 0
        self.cpu_seconds = 0.0

    def start(self) -> None:
        """Start a dispatcher and wait until it is ready."""
        program = "tests.torture.dispatcher_program"
        self._process = subprocess.Popen(
            [sys.executable, "-m", program, str(LEASE_SECONDS), str(_POLL_SECONDS)],
            env=self._environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"
        self._cpu_at_start = self._cpu()

    def kill(self) -> None:
        """Kill the dispatcher (SIGKILL) while it sends, and count the kill."""
        self.kills += 1
        self.end()

    def end(self) -> None:
        """Kill it."""
        self.cpu_seconds += self._cpu() - self._cpu_at_start
        _kill(self._process)

    def _cpu(self) -> float:
        times = psutil.Process(self._process.pid).cpu_times()
        return float(times.user + times.system)


def _kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()
