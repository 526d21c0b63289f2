"""One stream, as both sides have it: messages in, messages out, and the ways in which it ends."""

from __future__ import annotations

import asyncio
from typing import Protocol

from transport import frames
from transport.http2 import ErrorCode
from transport.limits import Limits
from transport.messages import Budget, MessageReader
from transport.outbox import CLOSED_WINDOW, Outbox, Outgoing
from transport.status import RpcError, StatusCode


class Home(Protocol):
    """What a stream needs of the connection that it lives on."""

    outbox: Outbox
    limits: Limits
    budget: Budget
    touched: list[BaseStream]
    withheld: int

    def gone(self, stream: BaseStream) -> None:
        """Forget the stream: nothing more is sent or expected on it."""

    def release(self, size: int) -> None:
        """Let the peer send `size` bytes again that a stream had held back."""


class BaseStream(Outgoing):
    """A stream of a connection. What arrives in one read is delivered at the end of that read."""

    __slots__ = (
        "__weakref__",
        "_flushed",
        "_low",
        "_paused",
        "_withheld",
        "alive",
        "arrived",
        "credit",
        "home",
        "reader",
        "remote_ended",
        "tail",
        "touched",
    )

    def __init__(self, home: Home, stream_id: int, window: int) -> None:
        super().__init__(home.outbox, stream_id, window)
        self.home = home
        self.alive = True
        self.reader = MessageReader(home.limits.max_message_bytes, home.budget)
        self.credit = home.limits.stream_window
        """Bytes that the peer may still send."""
        self._low = home.limits.stream_window // 2
        self.arrived: list[bytes] = []
        """Messages that have not been delivered."""
        self.touched = False
        """Whether something has."""
        self.remote_ended = False
        self.tail = b""
        """Our last frame, which follows what is queued."""
        self._paused = False
        self._withheld = 0
        self._flushed: list[asyncio.Future[None]] = []

    # for the application

    def pause(self) -> None:
        """Deliver no more messages for now; the peer may send one window full, and then waits."""
        self._paused = True

    def resume(self) -> None:
        """Deliver messages again, those that waited first."""
        self._paused = False
        if not self.alive:
            return
        self._release()
        self._refill()
        asyncio.get_running_loop().call_soon(self.deliver)

    async def flushed(self) -> None:
        """Wait until all that was sent on the stream has gone to the socket, or never will."""
        if self.queued and self.alive:
            future = asyncio.get_running_loop().create_future()
            self._flushed.append(future)
            await future

    # for the connection

    def take_data(self, data: bytes, start: int, end: int, ended: bool) -> None:
        """Take a piece of DATA. What goes wrong ends this stream, and nothing else."""
        self.credit -= end - start
        if self.credit < self._low or self._paused:
            self._account(end - start)
            if not self.alive:
                return
        if self.remote_ended:
            self.abort(ErrorCode.STREAM_CLOSED, "the peer sent DATA after its last word")
            return
        try:
            messages = self.reader.feed(data, start, end)
        except RpcError as error:
            self.on_unreadable(error)
            return
        if messages or ended:
            self.arrived += messages
            self.remote_ended = ended
            if not self.touched:
                self.touched = True
                self.home.touched.append(self)

    def take_credit(self, size: int) -> None:
        """Count bytes that arrived and are no part of a message."""
        self.credit -= size
        self._account(size)

    def _account(self, size: int) -> None:
        if self.credit < 0:
            self.abort(ErrorCode.FLOW_CONTROL_ERROR, "the peer sent more than the window allows")
        elif self._paused:
            self._withheld += size
            self.home.withheld += size
        elif self.credit < self._low:
            self._refill()

    def touch(self) -> None:
        """Have `deliver` called at the end of the read."""
        self.touched = True
        self.home.touched.append(self)

    def deliver(self) -> None:
        """Hand what has arrived to the application."""
        self.touched = False
        if self.alive and not self._paused:
            self.on_arrival()

    def end(self, tail: bytes) -> None:
        """Send `tail`, with END_STREAM, behind everything that is queued."""
        self.ending = True
        self.tail = tail
        if not self.pending:
            self.on_drained()

    def abort(self, code: ErrorCode, why: str) -> None:
        """Reset the stream, for a fault of the peer."""
        if self.alive:
            self.outbox.put(frames.reset(self.id, code))
            self.on_lost(RpcError(StatusCode.INTERNAL, why))

    def leave(self) -> None:
        """Let go of everything that the stream holds."""
        self.alive = False
        self.window = CLOSED_WINDOW
        self._release()
        self.reader.discard()
        self.outbox.forget(self)
        self._wake()
        self.home.gone(self)

    def on_drained(self) -> None:
        """Everything that was queued has left."""
        if self.tail:
            self.outbox.put(self.tail)
            self.tail = b""
            self.window = CLOSED_WINDOW
            self.on_ended()
        self._wake()

    # what the two sides do in their own ways

    def on_arrival(self) -> None:
        """Something has arrived: messages, or the end of the peer's half."""
        raise NotImplementedError

    def on_unreadable(self, error: RpcError) -> None:
        """The peer sent what is no message, or too large a message."""
        raise NotImplementedError

    def on_ended(self) -> None:
        """Our half has ended, in good order."""
        raise NotImplementedError

    def on_reset(self, code: int) -> None:
        """The peer reset the stream."""
        raise NotImplementedError

    def on_lost(self, error: RpcError) -> None:
        """The stream ends for a reason that the peer did not give."""
        raise NotImplementedError

    def _refill(self) -> None:
        increment = self.home.limits.stream_window - self.credit
        if increment and not self.remote_ended:
            self.credit += increment
            self.outbox.put(frames.window_update(self.id, increment))

    def _release(self) -> None:
        if self._withheld:
            self.home.release(self._withheld)
            self._withheld = 0

    def _wake(self) -> None:
        for future in self._flushed:
            if not future.done():
                future.set_result(None)
        self._flushed.clear()
