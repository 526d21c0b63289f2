"""Polling a socket instead of sleeping until the peer's next message arrives.

Going to sleep and being woken takes a process 20 to 50 µs on a busy machine, more on a virtual one,
and it wakes with cold caches: for small messages that is most of a round trip
(docs/adr/0012-polling-for-busy-clients.md).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from time import perf_counter

from transport.write_queue import Buffer, WriteQueue

_READ_BYTES = 256 * 1024


class BusyPoll:
    """Reads a connection's socket in a loop, for a while, before the event loop may sleep.

    Between two reads it yields the core to any process that wants it. Nothing else runs on the
    event loop meanwhile. Writes bypass the loop's transport, which would not send anything before
    the polling ends.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        write_queue: WriteQueue,
        on_data: Callable[[bytes], None],
    ) -> None:
        """Poll the socket of `transport`; what is read goes to `on_data`."""
        self._transport = transport
        self._descriptor: int = transport.get_extra_info("socket").fileno()
        self._on_data = on_data
        self._loop = asyncio.get_running_loop()
        self._until = 0.0
        self._scheduled = False
        write_queue.write = self._write

    def spin(self, seconds: float) -> None:
        """Poll for `seconds`, or until something arrives; starts at the end of the loop's turn."""
        self._until = perf_counter() + seconds
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._poll)

    def _poll(self) -> None:
        self._scheduled = False
        while perf_counter() < self._until and not self._transport.is_closing():
            try:
                data = os.read(self._descriptor, _READ_BYTES)
            except BlockingIOError:
                os.sched_yield()
            except OSError:
                return  # the event loop's own read meets the same error and reports it
            else:
                if data:
                    self._on_data(data)
                return

    def _write(self, data: Buffer) -> None:
        sent = 0
        if not self._transport.get_write_buffer_size() and not self._transport.is_closing():
            try:
                sent = os.write(self._descriptor, data)
            except OSError:
                sent = 0  # full or broken: the transport handles both
        if sent < len(data):
            self._transport.write(memoryview(data)[sent:])
