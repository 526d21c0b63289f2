"""Reads what a child process reports on its status pipe."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from slipstream.supervisor.process import ChildProcess

_MAX_LINE_BYTES = 1 << 20

StatusLine = Mapping[str, Any]
"""A JSON line that a process reports: `event` and the fields of that event."""


class StatusReader:
    """The pipe of one process.

    Attributes:
        lines: what it reports; ends when the pipe is closed, or with `stop`.
        stopped: whether that was `stop`.
    """

    def __init__(self, lines: asyncio.StreamReader, transport: asyncio.ReadTransport) -> None:
        """Use `open`."""
        self.lines = lines
        self.stopped = False
        self._transport = transport

    @classmethod
    async def open(cls, child: ChildProcess) -> StatusReader:
        """Read the pipe of `child`."""
        lines = asyncio.StreamReader(limit=_MAX_LINE_BYTES)
        protocol = asyncio.StreamReaderProtocol(lines)
        pipe = os.fdopen(child.status_fd, "rb")
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(lambda: protocol, pipe)
        return cls(lines, transport)

    def stop(self) -> None:
        """Read nothing more, and leave the pipe open: `lines` ends with what was read before."""
        if not self.lines.at_eof() and not self._transport.is_closing():
            self.stopped = True
            self._transport.pause_reading()
            self.lines.feed_eof()

    def close(self) -> None:
        """Close the pipe."""
        self._transport.close()

    async def until_ready(self, seconds: float) -> list[StatusLine] | None:
        """Return what the process reports until it is ready; None if that does not come in time."""
        reported: list[StatusLine] = []
        with suppress(TimeoutError, ValueError):
            async with asyncio.timeout(seconds):
                async for line in self.lines:
                    reported.append(json.loads(line))
                    match reported[-1]["event"]:
                        case "ready":
                            return reported
                        case "failed":
                            return None
        return None
