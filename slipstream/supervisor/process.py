"""Child processes: how they are started, tied to this process, and ended."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from telemetry.parent_process import STOP_ANNOUNCED


class Lifeline:
    """A pipe whose write end only this process has: children exit when it closes.

    The kernel closes it however this process ends, so not even SIGKILL leaves a child behind.
    """

    def __init__(self, descriptors: tuple[int, int] | None = None) -> None:
        """Make the pipe, or take over one."""
        self.read_fd, self._write_fd = descriptors or os.pipe()

    @property
    def descriptors(self) -> tuple[int, int]:
        """Both ends, for a successor of this program."""
        return self.read_fd, self._write_fd

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


class AdoptedProcess:
    """A ProcessHandle for a child that something else has started.

    A fork server that has ended, or this process before its program was replaced.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._status: int | None = None
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        """Return the exit status, negative for a signal; None while it runs."""
        with self._lock:
            if self._status is None:
                try:
                    pid, status = os.waitpid(self.pid, os.WNOHANG)
                except ChildProcessError:  # it has been waited for already
                    self._status = 0
                else:
                    if pid:
                        self._status = os.waitstatus_to_exitcode(status)
            return self._status

    def wait(self) -> int:
        """Block until it has ended; return its exit status."""
        while (status := self.poll()) is None:
            # Only `poll` reaps the pid, under the lock: no signal reaches a reused pid.
            with suppress(ChildProcessError):
                os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        return status

    def terminate(self) -> None:
        """Send SIGTERM, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGTERM)


class ChildProcess:
    """A running child, in a process group of its own, so that Ctrl-C reaches only the supervisor.

    Attributes:
        status_fd: read end of the pipe on which it reports, in JSON lines; it closes when the
            child ends. Its reader closes it.
        started_at: on the monotonic clock.
    """

    def __init__(
        self,
        process: ProcessHandle,
        status_fd: int,
        *,
        owns_process: bool = True,
        started_at: float | None = None,
    ) -> None:
        """Wrap `process`; without `owns_process` it is shared with other children."""
        self._process = process
        self._owns_process = owns_process
        self.pid = process.pid
        self.status_fd = status_fd
        self.lifeline_fd: int | None = None
        """Of one that shares its process."""
        self.started_at = time.monotonic() if started_at is None else started_at

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

    def announce_stop(self) -> None:
        """Tell a gateway that it is going to be terminated for good: it is not ready any longer."""
        if self._process.poll() is None:
            os.kill(self.pid, STOP_ANNOUNCED)

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
    return f"was killed by {_signal_name(-status)}"


def exit_fields(status: int) -> dict[str, int | str]:
    """Return an exit status as a field of a log line: `exit_status`, or `signal` with its name."""
    return {"exit_status": status} if status >= 0 else {"signal": _signal_name(-status)}


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
