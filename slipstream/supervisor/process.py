"""Child processes: how they are started, tied to this process, and ended."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Protocol


class Lifeline:
    """A pipe whose write end only this process has: children exit when it closes.

    The kernel closes it however this process ends, so not even SIGKILL leaves a child behind.
    """

    def __init__(self) -> None:
        self.read_fd, self._write_fd = os.pipe()

    def close(self) -> None:
        """Make every child exit at once."""
        os.close(self._write_fd)
        os.close(self.read_fd)


class ProcessHandle(Protocol):
    """What ChildProcess needs of a process; `subprocess.Popen` is one."""

    pid: int

    def poll(self) -> int | None:
        """Return the exit status, negative for a signal; None while it runs."""

    def wait(self) -> int:
        """Block until it has ended; return its exit status."""

    def terminate(self) -> None:
        """Send SIGTERM, unless it has ended."""


class ChildProcess:
    """A running child, in a process group of its own, so that Ctrl-C reaches only the supervisor.

    Attributes:
        status_fd: read end of the pipe on which it reports, in JSON lines; it closes when the
            child ends. Its reader closes it.
        started_at: on the monotonic clock.
    """

    def __init__(
        self, process: ProcessHandle, status_fd: int, *, owns_process: bool = True
    ) -> None:
        """Wrap `process`; without `owns_process` it is shared with other children."""
        self._process = process
        self._owns_process = owns_process
        self.pid = process.pid
        self.status_fd = status_fd
        self.started_at = time.monotonic()

    @classmethod
    def spawn(
        cls,
        command: Sequence[str],
        *,
        lifeline: Lifeline,
        inherit: Sequence[int] = (),
        environment: Mapping[str, str] | None = None,
    ) -> ChildProcess:
        """Start `command` with `--status-fd` and `--lifeline-fd`, and the descriptors to inherit.

        Its stdout is our stderr: our stdout carries only the output of the command.
        """
        read_fd, write_fd = os.pipe()
        try:
            process = subprocess.Popen(
                [*command, "--status-fd", str(write_fd), "--lifeline-fd", str(lifeline.read_fd)],
                pass_fds=(write_fd, lifeline.read_fd, *inherit),
                stdin=subprocess.DEVNULL,
                stdout=2,
                env=None if environment is None else dict(environment),
                process_group=0,
            )
        except OSError:
            os.close(read_fd)
            raise
        finally:
            os.close(write_fd)
        return cls(process, read_fd)

    def terminate(self) -> None:
        """Send SIGTERM: it drains and exits."""
        self._process.terminate()

    def kill(self) -> None:
        """Kill it and its children at once."""
        if self._process.poll() is None:
            self._kill_group()

    def wait(self) -> int:
        """Block until it has ended; return its exit status, negative for a signal.

        Its own children are killed then.
        """
        status = self._process.wait()
        if self._owns_process:
            self._kill_group()
        return status

    def _kill_group(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)


def describe_exit(status: int) -> str:
    """Return an exit status in words: `exited with status 1`, `was killed by SIGKILL`."""
    if status >= 0:
        return f"exited with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"
