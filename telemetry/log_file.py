"""A file to which several processes append lines, and which one of them moves away."""

from __future__ import annotations

import errno
import logging
import os
from contextvars import Context
from pathlib import Path

_MODE, _FOLDER_MODE = 0o600, 0o700


class LogFileHandler(logging.Handler):
    """Appends each line by one `write`, so that lines of several processes do not mix.

    A file that was moved or deleted is made again, and so is its folder. Nothing is buffered, and
    who logs does not fail: lines that cannot be written are lost, and counted. The other handlers
    get a line when that begins, and all of them when it has ended.
    """

    def __init__(self, path: Path) -> None:
        """Append to `path`, which is opened with the first line."""
        super().__init__()
        self._path = path
        self._descriptor = -1
        self._opened: tuple[int, int] | None = None
        """Device and inode of the open file."""
        self._lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Append the line of a record."""
        try:
            line = f"{self.format(record)}\n".encode(errors="backslashreplace")
        except Exception:  # noqa: BLE001 - the handler of stderr formats it, too, and reports that
            return
        try:
            self._write(line)
        except OSError as error:
            self._lost += 1
            self._close()
            if self._lost == 1:
                self._report("log_file_failed", reason=error.strerror)
            return
        if self._lost:
            lost, self._lost = self._lost, 0
            self._report("log_file_written_again", lost_lines=lost)

    def _write(self, line: bytes) -> None:
        self._open()
        if os.write(self._descriptor, line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _open(self) -> None:
        """Open the file, unless the open one is still at its path."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            self._path.parent.mkdir(_FOLDER_MODE, exist_ok=True)
        else:
            if (found.st_dev, found.st_ino) == self._opened:
                return
        self._close()
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, _MODE)
        opened = os.fstat(self._descriptor)
        self._opened = (opened.st_dev, opened.st_ino)

    def _close(self) -> None:
        if self._opened is not None:
            self._opened = None
            os.close(self._descriptor)

    def _report(self, event: str, **fields: object) -> None:
        """Log, while this line is being written: a failure of that is only counted."""
        # `telemetry.logs` imports structlog first, in a way of its own
        from structlog import get_logger  # noqa: PLC0415

        report = get_logger(__name__).warning
        # without the fields of the task that happens to log, see `name_task`
        Context().run(report, event, file=str(self._path), **fields)
