"""A call as the server has it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Protocol

from transport import frames
from transport.http2 import ErrorCode
from transport.requests import OK_BLOCK, RESPONSE_BLOCK, RequestHead, trailers_block
from transport.router import StreamHandler, StreamHandlerFactory, UnaryHandler
from transport.status import OK, Metadata, RpcError, Status, StatusCode
from transport.streams import BaseStream, Home

_BUG = Status(StatusCode.INTERNAL, "the server failed to answer; its log says more")
_LATE = Status(StatusCode.DEADLINE_EXCEEDED, "the deadline passed before the answer was there")


class ServerHome(Home, Protocol):
    """What a call needs of the server's connection."""

    peer: str

    def header_frame(self, stream_id: int, block: bytes, *, ended: bool) -> bytes:
        """Return the frame that carries a header block."""
        ...

    def report(self, path: str, error: BaseException) -> None:
        """Log a handler's bug."""

    def linger(self, seconds: float) -> None:
        """Stay awake for what the client may send next."""


class Exchange(BaseStream):
    """One call: what unary calls and streams have in common."""

    __slots__ = ("_timer", "deadline", "head")

    home: ServerHome

    def __init__(self, home: ServerHome, stream_id: int, head: RequestHead) -> None:
        super().__init__(home, stream_id, home.outbox.initial_window)
        self.head = head
        self.reader.inflate = head.inflate
        self.deadline: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        if head.timeout is not None:
            self.deadline = asyncio.get_running_loop().time() + head.timeout

    @property
    def path(self) -> str:
        """The method."""
        return self.head.path

    @property
    def metadata(self) -> Metadata:
        """What the client sent before its messages."""
        return self.head.metadata

    @property
    def peer(self) -> str:
        """The client."""
        return self.home.peer

    def remaining(self) -> float | None:
        """Return the seconds until the deadline; None: there is none."""
        if self.deadline is None:
            return None
        return self.deadline - asyncio.get_running_loop().time()

    def conclude(self, status: Status) -> None:
        """End the call with a status, behind everything that was sent."""
        if not self.alive or self.ending:
            return
        self._stop_timer()
        if status is OK:
            block = OK_BLOCK
        else:
            try:
                block = trailers_block(status)
            except ValueError as error:
                self.home.report(self.path, error)
                block = trailers_block(_BUG)
        self.end(self._closing(block))

    def on_unreadable(self, error: RpcError) -> None:
        """End the call: no message can be made of what arrives."""
        self.reader.discard()
        self.stop()
        self.conclude(error.status)

    def on_ended(self) -> None:
        """Our half has ended, and with it the call: the client need not send the rest."""
        if not self.remote_ended:
            self.outbox.put(frames.reset(self.id, ErrorCode.NO_ERROR))
        self.leave()

    def on_reset(self, code: int) -> None:  # noqa: ARG002 - all codes mean the same to a server
        """The client does not want the answer any more."""
        self._stop_timer()
        self.leave()
        self.stop()

    def on_lost(self, error: RpcError) -> None:  # noqa: ARG002 - nobody is left to be told
        """The client is gone."""
        self._stop_timer()
        self.leave()
        self.stop()

    def on_late_message(self) -> int:
        """Drop a message: the client has left, or the handler had finished."""
        return 0

    def stop(self) -> None:
        """Tell the handler that the call is over without its doing."""
        raise NotImplementedError

    def start_timer(self) -> None:
        """End the call when the deadline passes."""
        if self.deadline is not None and self._timer is None and not self.ending:
            self._timer = asyncio.get_running_loop().call_at(self.deadline, self._expire)

    def blame(self, error: BaseException) -> Status:
        """Return the status that a handler's error means; report it where it is a bug."""
        if isinstance(error, RpcError):
            return error.status
        self.home.report(self.path, error)
        return _BUG

    def _closing(self, block: bytes) -> bytes:
        return self.home.header_frame(self.id, block, ended=True)

    def _expire(self) -> None:
        self._timer = None
        self.stop()
        self.conclude(_LATE)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class UnaryExchange(Exchange):
    """A call of one message and one answer."""

    __slots__ = ("_answer", "_handler", "_opened", "trailers")

    def __init__(
        self, home: ServerHome, stream_id: int, head: RequestHead, handler: UnaryHandler
    ) -> None:
        super().__init__(home, stream_id, head)
        self.trailers: Metadata = ()
        self._handler = handler
        self._answer: asyncio.Future[bytes] | None = None
        self._opened = False

    def on_arrival(self) -> None:
        """Answer, when the message and the end of the client's half are there."""
        if self.ending or self._answer is not None:
            return
        if len(self.arrived) > 1:
            self.conclude(Status(StatusCode.INTERNAL, "two messages in a unary call"))
        elif not self.remote_ended:
            self.start_timer()  # of a client that takes its time
        elif not self.arrived or not self.reader.between_messages:
            self.conclude(Status(StatusCode.INTERNAL, "a unary call without a whole message"))
        else:
            self._ask(self.arrived.pop())

    def stop(self) -> None:
        """Cancel what works on the answer."""
        if self._answer is not None:
            self._answer.cancel()

    def _ask(self, message: bytes) -> None:
        try:
            answer = self._handler(message, self)
        except Exception as error:  # noqa: BLE001 - a handler's bug costs its call, no other
            self.conclude(self.blame(error))
            return
        if isinstance(answer, Awaitable):
            self._answer = asyncio.ensure_future(answer)
            self._answer.add_done_callback(self._answered)
            self.start_timer()
        else:
            self._reply(answer)

    def _answered(self, answer: asyncio.Future[bytes]) -> None:
        if answer.cancelled():
            self.conclude(Status(StatusCode.CANCELLED, "the server gave the call up"))
            return
        error = answer.exception()
        if error is not None:
            status = self.blame(error)
            self.conclude(status)
        else:
            self._reply(answer.result())

    def _reply(self, answer: bytes) -> None:
        if not self.alive or self.ending:
            return
        self._opened = True
        self.outbox.put(self.home.header_frame(self.id, RESPONSE_BLOCK, ended=False))
        self.send(answer)
        self.conclude(Status(StatusCode.OK, "", self.trailers) if self.trailers else OK)

    def _closing(self, block: bytes) -> bytes:
        # Without an answer before it, the status is all that there is, and opens as it closes
        return super()._closing(block if self._opened else RESPONSE_BLOCK + block)


class StreamExchange(Exchange):
    """A call of any number of messages and answers."""

    __slots__ = ("_half_closed", "_handler")

    def __init__(self, home: ServerHome, stream_id: int, head: RequestHead) -> None:
        super().__init__(home, stream_id, head)
        self._half_closed = False
        self._handler: StreamHandler | None = None

    def start(self, factory: StreamHandlerFactory) -> None:
        """Open the answer, and make the handler."""
        self.outbox.put(self.home.header_frame(self.id, RESPONSE_BLOCK, ended=False))
        self.start_timer()
        try:
            self._handler = factory(self)
        except Exception as error:  # noqa: BLE001 - as above
            self.conclude(self.blame(error))

    def finish(
        self, code: StatusCode = StatusCode.OK, message: str = "", trailers: Metadata = ()
    ) -> None:
        """End the call, behind everything that was sent."""
        self._handler = None
        self.conclude(Status(code, message, trailers))

    def linger(self, seconds: float) -> None:
        """Stay awake for the next message."""
        self.home.linger(seconds)

    def on_arrival(self) -> None:
        """Hand on what arrived."""
        messages, self.arrived = self.arrived, []
        handler = self._handler
        if handler is None:
            return
        try:
            if messages:
                handler.messages(messages)
            if self.remote_ended and not self._half_closed and self.alive and self._handler:
                self._half_closed = True
                self._close_half(handler)
        except Exception as error:  # noqa: BLE001 - as above
            self._handler = None
            self.conclude(self.blame(error))

    def stop(self) -> None:
        """Tell the handler, once."""
        handler, self._handler = self._handler, None
        if handler is not None:
            try:
                handler.cancelled()
            except Exception as error:  # noqa: BLE001 - as above
                self.home.report(self.path, error)

    def _close_half(self, handler: StreamHandler) -> None:
        if self.reader.between_messages:
            handler.half_closed()
        else:
            self.stop()
            self.conclude(Status(StatusCode.INTERNAL, "the client ended within a message"))
