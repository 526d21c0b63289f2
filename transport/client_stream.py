"""One call on the client side."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from transport import frames
from transport.call_headers import ResponseHeaders
from transport.http2 import END_STREAM, Http2ErrorCode
from transport.status import RpcError, Status, StatusCode, status_of_reset
from transport.streams import BaseStream, ConnectionPort
from transport.write_queue import CLOSED_WINDOW, UNOPENED_WINDOW, Buffer

OnMessage = Callable[[bytes], object]
OnEnd = Callable[[Status], object]


class ClientStream(BaseStream):
    """A call on a connection: `send`, `half_close`, `cancel`; see `GrpcConnection.open_stream`.

    `queued` is the number of bytes that wait for the server, `await flushed()` waits until there
    are none, and `pause()` and `resume()` hold the server back.
    """

    __slots__ = (
        "_on_end",
        "_on_message",
        "_reset_received",
        "_response_started",
        "_timer",
        "block",
        "status",
    )

    def __init__(
        self, connection: ConnectionPort, block: bytes, on_message: OnMessage, on_end: OnEnd
    ) -> None:
        super().__init__(connection, 0, UNOPENED_WINDOW)
        self.block = block
        self.status: Status | None = None
        """How the call ended, once the server has said so."""
        self._on_message = on_message
        self._on_end = on_end
        self._response_started = False
        self._reset_received = False
        self._timer: asyncio.TimerHandle | None = None

    def half_close(self) -> None:
        """Announce that no further message follows."""
        if not self.ending and self.alive:
            self._end_when_opened()

    def send_last(self, message: Buffer) -> None:
        """Send a message and half-close."""
        self.send(message)
        self.half_close()

    def cancel(self) -> None:
        """Cancel the call; `on_end` gets CANCELLED. Has no effect on a call that is over."""
        self._cancel(Status(StatusCode.CANCELLED, "the call was cancelled on our side"))

    def expire_in(self, seconds: float) -> None:
        """End the call with DEADLINE_EXCEEDED after `seconds`."""
        late = Status(StatusCode.DEADLINE_EXCEEDED, f"no answer within {seconds:g} s")
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(max(seconds, 0.0), self._cancel, late)

    # for the connection

    def on_opened(self, stream_id: int) -> None:
        """Send what waited for the stream to be opened."""
        self.id = stream_id
        self.window = self.write_queue.initial_window
        if self.pending:
            self.write_queue.enqueue(self)
        elif self.ending:
            self._end_when_opened()

    def on_headers(self, headers: ResponseHeaders, ended: bool) -> None:
        """Handle the response's headers or trailers."""
        if headers.refusal is not None and not headers.informational:
            self._cancel(headers.refusal)
        elif ended:
            missing = Status(StatusCode.UNKNOWN, "the server ended the call without a grpc-status")
            self._remote_end(headers.status or missing)
        elif headers.informational:
            return
        elif self._response_started:
            self.abort(Http2ErrorCode.PROTOCOL_ERROR, "the server sent response headers twice")
        else:
            self._response_started = True
            self.reader.decompress = headers.decompress

    def on_readable(self) -> None:
        """Pass on the messages, then the status."""
        messages, self.received = self.received, []
        on_message = self._on_message
        for message in messages:
            try:
                on_message(message)
            except Exception as error:  # noqa: BLE001 - the caller's bug must end this call only
                self._report("on_message", error)
                self._cancel(Status(StatusCode.INTERNAL, f"on_message raised {error!r}"))
            if not self.alive:
                return
        if self.remote_ended:
            self._end_after_messages()

    def on_unreadable(self, error: RpcError) -> None:
        """End the call: the server's data is not a valid message."""
        self._cancel(error.status)

    def on_drained(self) -> None:
        """Half-close the stream if everything queued was written."""
        if self.ending and not self._final_frame and self.id:
            self._final_frame = frames.data_header(0, self.id, END_STREAM)
        super().on_drained()

    def on_ended(self) -> None:
        """Keep the stream: the answer may still come."""

    def on_reset(self, code: int) -> None:
        """End the call, behind the messages that have arrived."""
        self._reset_received = True
        if self.status is None:
            self._remote_end(status_of_reset(code))

    def on_lost(self, error: RpcError) -> None:
        """End the call at once."""
        self._end_call(error.status)

    def on_late_message(self) -> int:
        """Refuse a message."""
        text = f"the call has ended: {self.status}" if not self.alive else "half-closed already"
        raise RpcError(StatusCode.FAILED_PRECONDITION, f"a message was sent too late: {text}")

    def _end_when_opened(self) -> None:
        self.ending = True
        if not self.pending and self.id:
            self.on_drained()

    def _remote_end(self, status: Status) -> None:
        if self.remote_ended:
            return
        self.status = status
        self.remote_ended = True
        if not self.is_readable:
            self.mark_readable()

    def _end_after_messages(self) -> None:
        status = self.status
        if status is None:
            status = Status(StatusCode.INTERNAL, "the server ended the call without trailers")
        elif status.ok and not self.reader.between_messages:
            status = Status(StatusCode.INTERNAL, "the server ended the call within a message")
        if self.window != CLOSED_WINDOW and not self._reset_received:
            self.connection.reset_stream(self.id, Http2ErrorCode.NO_ERROR)
        self._end_call(status)

    def _cancel(self, status: Status) -> None:
        if not self.alive:
            return
        if self.id and not self._reset_received:
            self.connection.reset_stream(self.id, Http2ErrorCode.CANCEL)
        self._end_call(status)

    def _end_call(self, status: Status) -> None:
        if not self.alive:
            return
        self.status = status
        if self._timer is not None:
            self._timer.cancel()
        self.close()
        try:
            self._on_end(status)
        except Exception as error:  # noqa: BLE001 - as above
            self._report("on_end", error)

    def _report(self, where: str, error: Exception) -> None:
        asyncio.get_running_loop().call_exception_handler(
            {"message": f"{where} of a gRPC call raised", "exception": error}
        )
