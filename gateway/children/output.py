"""What children write to stdout and stderr, as lines of this process's log.

It may hold what tenants wrote, as much of it as they like: lines are shortened and limited in
number, what is no text is replaced, and a child that writes faster than it is read has to wait.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from time import monotonic

from telemetry.logs import logger

_READ_BYTES = 64 << 10
_READ_SECONDS = 0.1
"""Between two reads of one child: 640 KiB a second."""
_LINE_CHARACTERS = 500
_PERIOD_SECONDS = 10.0

log = logger("gateway.children")


class OutputLog:
    """Writes lines of one program's children to the log, at most so many in 10 seconds."""

    def __init__(self, program: str, *, lines: int) -> None:
        self._program = program
        self._max_lines = lines
        self._began = 0.0
        self._lines = 0
        self._omitted = 0
        self._timer: asyncio.TimerHandle | None = None

    def write(self, pid: int, line: str) -> None:
        """Log a line, unless there were too many."""
        now = monotonic()
        if now - self._began > _PERIOD_SECONDS:
            self.report_omitted()
            self._began, self._lines = now, 0
        if self._lines >= self._max_lines:
            if not self._omitted:
                end = self._began + _PERIOD_SECONDS - now
                self._timer = asyncio.get_running_loop().call_later(end, self.report_omitted)
            self._omitted += 1
            return
        self._lines += 1
        log.warning("child_output", program=self._program, pid=pid, text=_printable(line))

    def report_omitted(self) -> None:
        """Log how many lines were omitted since the last time."""
        omitted, self._omitted = self._omitted, 0
        if omitted:
            if self._timer is not None:
                self._timer.cancel()
            log.warning("child_output_omitted", program=self._program, lines=omitted)


class OutputReader:
    """Reads one child's output until it is closed. For one event loop."""

    def __init__(self, descriptor: int, pid: int, output: OutputLog) -> None:
        """Read `descriptor`, the end of a pipe, which is closed at the end."""
        self._descriptor = descriptor
        self._pid = pid
        self._output = output
        self._rest = b""
        self._closed = False
        self._loop = asyncio.get_running_loop()
        os.set_blocking(descriptor, False)
        self._wait()

    def close(self) -> None:
        """Read what is left and stop."""
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._descriptor)
            with suppress(BlockingIOError):
                self._take(os.read(self._descriptor, _READ_BYTES))
            os.close(self._descriptor)
            if self._rest:
                self._write(self._rest)

    def _wait(self) -> None:
        if not self._closed:
            self._loop.add_reader(self._descriptor, self._read)

    def _read(self) -> None:
        self._loop.remove_reader(self._descriptor)
        chunk = os.read(self._descriptor, _READ_BYTES)
        if chunk:
            self._take(chunk)
            self._loop.call_later(_READ_SECONDS, self._wait)

    def _take(self, chunk: bytes) -> None:
        *lines, rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            self._write(line)
        self._rest = rest[: 4 * _LINE_CHARACTERS]

    def _write(self, line: bytes) -> None:
        if text := line[: 4 * _LINE_CHARACTERS].decode(errors="replace").strip():
            self._output.write(self._pid, text)


def _printable(line: str) -> str:
    shown = "".join(each if each.isprintable() else "\ufffd" for each in line[:_LINE_CHARACTERS])
    return shown if len(line) <= _LINE_CHARACTERS else f"{shown} …"
