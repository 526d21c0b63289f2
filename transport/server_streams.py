"""One call on the server side, unary or streaming."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from transport.call_headers import OK_BLOCK, RESPONSE_BLOCK, RequestHeaders, trailers_block
from transport.http2 import Http2ErrorCode
from transport.status import OK, Metadata, RpcError, Status, StatusCode
from transport.streams import BaseStream, ConnectionPort

_HANDLER_ERROR = Status(StatusCode.INTERNAL, "the server failed to answer; see its log")
_DEADLINE_EXCEEDED = Status(StatusCode.DEADLINE_EXCEEDED, "the deadline passed before the answer")


class StreamHandler(Protocol):
    """Handles one streaming call. An exception that it raises ends the call."""

    def messages(self, messages: list[bytes]) -> None:
        """Handle all messages that arrived in one read, at least one."""
        ...

    def half_closed(self) -> None:
        """Handle the end of the client's messages; it waits for answers and for `finish`."""
        ...

    def cancelled(self) -> None:
        """Handle a call that ended early: the client left, or its deadline passed."""
        ...


class ServerConnectionPort(ConnectionPort, Protocol):
    """What a call needs of the server's connection."""

    peer: str

    def headers_frame(self, stream_id: int, block: bytes, *, ended: bool) -> bytes:
        """Return the frame that carries a header block."""
        ...

    def report_error(self, path: str, error: BaseException, /) -> None:
        """Report an exception that a handler raised."""

    def busy_poll(self, seconds: float) -> None:
        """Poll the socket for up to `seconds` for the client's next message."""


class ServerStream(BaseStream):
    """One call: what unary and streaming calls have in common.

    Handlers use `path`, `metadata`, `peer`, `deadline`, `remaining` and `alive` (whether the client
    still waits for an answer); everything else is for the connection.
    """

    __slots__ = ("_announced_bytes", "_deadline_timer", "deadline", "headers")

    connection: ServerConnectionPort

    def __init__(
        self, connection: ServerConnectionPort, stream_id: int, headers: RequestHeaders
    ) -> None:
        super().__init__(connection, stream_id, connection.write_queue.initial_window)
        self.headers = headers
        self.reader.decompress = headers.decompress
        self._announced_bytes = headers.content_length or 0  # that have not arrived
        self.deadline: float | None = None
        """When the client stops waiting, on the clock of the event loop."""
        self._deadline_timer: asyncio.TimerHandle | None = None
        if headers.timeout is not None:
            self.deadline = asyncio.get_running_loop().time() + headers.timeout

    @property
    def path(self) -> str:
        """The method, `/package.Service/Method`."""
        return self.headers.path

    @property
    def metadata(self) -> Metadata:
        """The client's initial metadata."""
        return self.headers.metadata

    @property
    def peer(self) -> str:
        """The client: `unix:` or `ipv4:host:port`."""
        return self.connection.peer

    def remaining(self) -> float | None:
        """Return the seconds until the deadline, negative if it has passed; None: no deadline."""
        if self.deadline is None:
            return None
        return self.deadline - asyncio.get_running_loop().time()

    def end_call(self, status: Status) -> None:
        """End the call with a status, behind everything that was sent."""
        if not self.alive or self.ending:
            return
        self._cancel_deadline()
        if status is OK:
            block = OK_BLOCK
        else:
            try:
                block = trailers_block(status)
            except ValueError as error:
                self.connection.report_error(self.path, error)
                block = trailers_block(_HANDLER_ERROR)
        self.end(self._final_headers(block))

    def on_unreadable(self, error: RpcError) -> None:
        """End the call: the client's data is not a valid message."""
        self.reader.discard()
        self.cancel_handler()
        self.end_call(error.status)
        self.connection.flood_guard.count_reset("a message that cannot be read")

    def on_ended(self) -> None:
        """Close the stream: our half ends the call, so the client need not send the rest."""
        if not self.remote_ended:
            self.connection.reset_stream(self.id, Http2ErrorCode.NO_ERROR)
        self.close()

    def on_reset(self, code: int) -> None:  # noqa: ARG002 - all codes mean the same to a server
        """Cancel the call: the client does not want the answer."""
        self._cancel_deadline()
        self.close()
        self.cancel_handler()

    def on_lost(self, error: RpcError) -> None:  # noqa: ARG002 - there is no client to tell
        """Cancel the call: the client is gone."""
        self._cancel_deadline()
        self.close()
        self.cancel_handler()

    def on_late_message(self) -> int:
        """Drop a message: the client is gone, or the handler has ended the call."""
        return 0

    def cancel_handler(self) -> None:
        """Tell the handler that the call is over."""
        raise NotImplementedError

    def start_deadline(self) -> None:
        """End the call when its deadline passes."""
        if self.deadline is not None and self._deadline_timer is None and not self.ending:
            loop = asyncio.get_running_loop()
            self._deadline_timer = loop.call_at(self.deadline, self._on_deadline)

    def status_of(self, error: BaseException) -> Status:
        """Return the status for a handler's exception; report it unless it is an RpcError."""
        if isinstance(error, RpcError):
            return error.status
        self.connection.report_error(self.path, error)
        return _HANDLER_ERROR

    def _final_headers(self, block: bytes) -> bytes:
        return self.connection.headers_frame(self.id, block, ended=True)

    def _on_deadline(self) -> None:
        self._deadline_timer = None
        self.cancel_handler()
        self.end_call(_DEADLINE_EXCEEDED)

    def _cancel_deadline(self) -> None:
        if self._deadline_timer is not None:
            self._deadline_timer.cancel()
            self._deadline_timer = None


class UnaryCall(ServerStream):
    """A call of one message and one answer.

    A handler may set `trailers`, which are sent behind a successful answer.
    """

    __slots__ = ("_answer", "_handler", "_sent_headers", "trailers")

    def __init__(
        self,
        connection: ServerConnectionPort,
        stream_id: int,
        headers: RequestHeaders,
        handler: UnaryHandler,
    ) -> None:
        super().__init__(connection, stream_id, headers)
        self.trailers: Metadata = ()
        self._handler = handler
        self._answer: asyncio.Future[bytes] | None = None
        self._sent_headers = False

    def on_readable(self) -> None:
        """Call the handler when the message and the end of the client's half are there."""
        if self.ending or self._answer is not None:
            return
        if len(self.received) > 1:
            self.end_call(Status(StatusCode.INTERNAL, "two messages in a unary call"))
        elif not self.remote_ended:
            self.start_deadline()  # the rest may take long
        elif not self.received or not self.reader.between_messages:
            self.end_call(Status(StatusCode.INTERNAL, "a unary call without a complete message"))
        else:
            self._call_handler(self.received.pop())

    def cancel_handler(self) -> None:
        """Cancel the handler's task or future."""
        if self._answer is not None:
            self._answer.cancel()

    def _call_handler(self, message: bytes) -> None:
        try:
            answer = self._handler(message, self)
        except Exception as error:  # noqa: BLE001 - a handler's bug must end its own call only
            self.end_call(self.status_of(error))
            return
        if isinstance(answer, Awaitable):
            self._answer = asyncio.ensure_future(answer)
            self._answer.add_done_callback(self._on_answer)
            self.start_deadline()
        else:
            self._send_answer(answer)

    def _on_answer(self, answer: asyncio.Future[bytes]) -> None:
        if answer.cancelled():
            self.end_call(Status(StatusCode.CANCELLED, "the server cancelled the call"))
            return
        error = answer.exception()
        if error is not None:
            self.end_call(self.status_of(error))
        else:
            self._send_answer(answer.result())

    def _send_answer(self, answer: bytes) -> None:
        if not self.alive or self.ending:
            return
        self._sent_headers = True
        headers = self.connection.headers_frame(self.id, RESPONSE_BLOCK, ended=False)
        self.write_queue.put(headers)
        self.send(answer)
        self.end_call(Status(StatusCode.OK, "", self.trailers) if self.trailers else OK)

    def _final_headers(self, block: bytes) -> bytes:
        # "Trailers-Only" in gRPC: without an answer, one block is both headers and trailers
        return super()._final_headers(block if self._sent_headers else RESPONSE_BLOCK + block)


class StreamCall(ServerStream):
    """A call of any number of messages and answers.

    Handlers use `send`, `finish`, `busy_poll`, `pause`, `resume`, `flushed` and `queued` (bytes
    that wait for the client). `send` has no effect on a call that is over, because the client may
    leave at any time.
    """

    __slots__ = ("_half_closed", "_handler")

    def __init__(
        self, connection: ServerConnectionPort, stream_id: int, headers: RequestHeaders
    ) -> None:
        super().__init__(connection, stream_id, headers)
        self._half_closed = False
        self._handler: StreamHandler | None = None

    def start(self, factory: StreamHandlerFactory) -> None:
        """Send the response headers and create the handler."""
        headers = self.connection.headers_frame(self.id, RESPONSE_BLOCK, ended=False)
        self.write_queue.put(headers)
        self.start_deadline()
        try:
            self._handler = factory(self)
        except Exception as error:  # noqa: BLE001 - as above
            self.end_call(self.status_of(error))

    def finish(
        self, code: StatusCode = StatusCode.OK, message: str = "", trailers: Metadata = ()
    ) -> None:
        """End the call, behind everything that was sent; the handler is not called again."""
        self._handler = None
        self.end_call(Status(code, message, trailers))

    def busy_poll(self, seconds: float) -> None:
        """Poll for the next message for up to `seconds` instead of sleeping until it arrives.

        Nothing else runs on the event loop meanwhile; see `transport.busy_poll`.
        """
        self.connection.busy_poll(seconds)

    def on_readable(self) -> None:
        """Pass the messages to the handler, then the end of the client's half."""
        messages, self.received = self.received, []
        handler = self._handler
        if handler is None:
            return
        try:
            if messages:
                handler.messages(messages)
            if self.remote_ended and not self._half_closed and self.alive and self._handler:
                self._half_closed = True
                self._half_close(handler)
        except Exception as error:  # noqa: BLE001 - as above
            self._handler = None
            self.end_call(self.status_of(error))

    def cancel_handler(self) -> None:
        """Call the handler's `cancelled`, once."""
        handler, self._handler = self._handler, None
        if handler is not None:
            try:
                handler.cancelled()
            except Exception as error:  # noqa: BLE001 - as above
                self.connection.report_error(self.path, error)

    def _half_close(self, handler: StreamHandler) -> None:
        if self.reader.between_messages:
            handler.half_closed()
        else:
            self.cancel_handler()
            self.end_call(Status(StatusCode.INTERNAL, "the client ended within a message"))


class _AnnouncedLength(ServerStream):
    """Compares DATA with `content-length`: classes of their own, so that other calls pay nothing.

    RFC 9113, 8.1.1: a request whose DATA has another length is malformed.
    """

    __slots__ = ()

    def on_data(self, data: bytes, start: int, end: int, ended: bool) -> None:
        """Handle part of a DATA frame, unless the client sends more or less than it announced."""
        if not self.remote_ended:
            self._announced_bytes -= end - start
            if self._announced_bytes < 0 or (ended and self._announced_bytes):
                self.abort(Http2ErrorCode.PROTOCOL_ERROR, "DATA of another length than announced")
                return
        super().on_data(data, start, end, ended)


class SizedUnaryCall(_AnnouncedLength, UnaryCall):
    """A unary call whose headers have a `content-length`."""

    __slots__ = ()


class SizedStreamCall(_AnnouncedLength, StreamCall):
    """A streaming call whose headers have a `content-length`."""

    __slots__ = ()


UnaryHandler = Callable[[bytes, UnaryCall], bytes | Awaitable[bytes]]
"""Takes the message and returns the answer: as bytes, as a future, or as a coroutine.

An answer returned as bytes costs no task. If the client leaves or its deadline passes, the task or
future is cancelled. A handler raises RpcError to end the call with a status.
"""
StreamHandlerFactory = Callable[[StreamCall], StreamHandler]
