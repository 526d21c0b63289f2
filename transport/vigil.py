"""Staying awake for what a peer is about to send.

To fall asleep and be woken takes a process 20 to 50 µs on a busy machine and more on a virtual one,
and when it wakes its caches are cold: for an exchange of small messages that is most of the time.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from time import perf_counter

from transport.outbox import Buffer, Outbox

_READ_BYTES = 256 * 1024


class Vigil:
    """Looks at a connection's socket again and again, for a while, before the loop may sleep.

    Each look lets other processes have the core first, if they want it. Meanwhile nothing else
    happens on the event loop. What is to be written is written at once, past the loop's transport,
    which would not do it before the look-out has ended.
    """

    def __init__(
        self, transport: asyncio.Transport, outbox: Outbox, deliver: Callable[[bytes], None]
    ) -> None:
        """Watch the socket of `transport`; what is read goes to `deliver`."""
        self._transport = transport
        self._descriptor: int = transport.get_extra_info("socket").fileno()
        self._deliver = deliver
        self._loop = asyncio.get_running_loop()
        self._until = 0.0
        self._scheduled = False
        outbox.write = self._write

    def keep(self, seconds: float) -> None:
        """Look out for `seconds`, or until something comes."""
        self._until = perf_counter() + seconds
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._look)

    def _look(self) -> None:
        self._scheduled = False
        while perf_counter() < self._until and not self._transport.is_closing():
            try:
                data = os.read(self._descriptor, _READ_BYTES)
            except BlockingIOError:
                os.sched_yield()
            except OSError:
                return  # the loop's own read finds that, too, and says so
            else:
                if data:
                    self._deliver(data)
                return

    def _write(self, data: Buffer) -> None:
        sent = 0
        if not self._transport.get_write_buffer_size() and not self._transport.is_closing():
            try:
                sent = os.write(self._descriptor, data)
            except OSError:
                sent = 0  # full, or broken: the transport deals with either
        if sent < len(data):
            self._transport.write(memoryview(data)[sent:])
