"""A call as the client has it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from transport import frames
from transport.http2 import END_STREAM, ErrorCode
from transport.outbox import CLOSED_WINDOW, UNOPENED_WINDOW, Buffer
from transport.requests import ResponseHead
from transport.status import Metadata, RpcError, Status, StatusCode, status_of_reset
from transport.streams import BaseStream, Home

OnMessage = Callable[[bytes], object]
OnEnd = Callable[[Status], object]


class ClientStream(BaseStream):
    """A call on a connection: `send`, `half_close`, `cancel`; see `Connection.open_stream`.

    `queued` says how many bytes wait for the server, `await flushed()` waits until none do, and
    `pause()` and `resume()` hold the server back.
    """

    __slots__ = (
        "_begun",
        "_on_end",
        "_on_message",
        "_reset_seen",
        "_timer",
        "block",
        "headers",
        "status",
    )

    def __init__(self, home: Home, block: bytes, on_message: OnMessage, on_end: OnEnd) -> None:
        super().__init__(home, 0, UNOPENED_WINDOW)
        self.block = block
        self.headers: Metadata = ()
        """The server's initial metadata, once there was a message."""
        self.status: Status | None = None
        """How the call ended, once the server has said so."""
        self._on_message = on_message
        self._on_end = on_end
        self._begun = False
        self._reset_seen = False
        self._timer: asyncio.TimerHandle | None = None

    def half_close(self) -> None:
        """Say that no further message will follow those that were sent."""
        if not self.ending and self.alive:
            self._end_when_open()

    def send_last(self, message: Buffer) -> None:
        """Send a message and half-close."""
        self.send(message)
        self.half_close()

    def cancel(self) -> None:
        """Give the call up; `on_end` gets CANCELLED. Of no effect on a call that is over."""
        self._give_up(Status(StatusCode.CANCELLED, "the call was cancelled on our side"))

    def expire_in(self, seconds: float) -> None:
        """Let the call end with DEADLINE_EXCEEDED after `seconds`."""
        late = Status(StatusCode.DEADLINE_EXCEEDED, f"no answer within {seconds:g} s")
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(max(seconds, 0.0), self._give_up, late)

    # for the connection

    def opened(self, stream_id: int) -> None:
        """The stream exists: send what waited for it."""
        self.id = stream_id
        self.window = self.outbox.initial_window
        if self.pending:
            self.outbox.wait(self)
        elif self.ending:
            self._end_when_open()

    def on_head(self, head: ResponseHead, ended: bool) -> None:
        """Take the beginning or the end of the answer."""
        if head.refusal is not None and not head.informational:
            self._give_up(head.refusal)
        elif ended:
            missing = Status(StatusCode.UNKNOWN, "the server ended the call without a grpc-status")
            self._finish(head.status or missing)
        elif head.informational:
            return
        elif self._begun:
            self.abort(ErrorCode.PROTOCOL_ERROR, "the server began its answer twice")
        else:
            self._begun = True
            self.headers = head.metadata
            self.reader.inflate = head.inflate

    def on_arrival(self) -> None:
        """Hand out the messages, and then the status."""
        messages, self.arrived = self.arrived, []
        on_message = self._on_message
        for message in messages:
            try:
                on_message(message)
            except Exception as error:  # noqa: BLE001 - the caller's bug costs this call, no other
                self._report("on_message", error)
                self._give_up(Status(StatusCode.INTERNAL, f"on_message raised {error!r}"))
            if not self.alive:
                return
        if self.remote_ended:
            self._conclude()

    def on_unreadable(self, error: RpcError) -> None:
        """End the call: no message can be made of what arrives."""
        self._give_up(error.status)

    def on_drained(self) -> None:
        """Everything that was queued has left."""
        if self.ending and not self.tail and self.id:
            self.tail = frames.data_head(0, self.id, END_STREAM)
        super().on_drained()

    def on_ended(self) -> None:
        """Our half has ended; the answer may still come."""

    def on_reset(self, code: int) -> None:
        """End the call, behind the messages that have arrived."""
        self._reset_seen = True
        if self.status is None:
            self._finish(status_of_reset(code))

    def on_lost(self, error: RpcError) -> None:
        """End the call at once."""
        self._over(error.status)

    def on_late_message(self) -> int:
        """Refuse a message."""
        text = f"the call has ended: {self.status}" if not self.alive else "half-closed already"
        raise RpcError(StatusCode.FAILED_PRECONDITION, f"a message was sent too late: {text}")

    def _end_when_open(self) -> None:
        self.ending = True
        if not self.pending and self.id:
            self.on_drained()

    def _finish(self, status: Status) -> None:
        if self.remote_ended:
            return
        self.status = status
        self.remote_ended = True
        if not self.touched:
            self.touch()

    def _conclude(self) -> None:
        status = self.status
        if status is None:
            status = Status(StatusCode.INTERNAL, "the server ended the call without trailers")
        elif status.ok and not self.reader.between_messages:
            status = Status(StatusCode.INTERNAL, "the server ended the call within a message")
        if self.window != CLOSED_WINDOW and not self._reset_seen:
            self.outbox.put(frames.reset(self.id, ErrorCode.NO_ERROR))
        self._over(status)

    def _give_up(self, status: Status) -> None:
        if not self.alive:
            return
        if self.id and not self._reset_seen:
            self.outbox.put(frames.reset(self.id, ErrorCode.CANCEL))
        self._over(status)

    def _over(self, status: Status) -> None:
        if not self.alive:
            return
        self.status = status
        if self._timer is not None:
            self._timer.cancel()
        self.leave()
        try:
            self._on_end(status)
        except Exception as error:  # noqa: BLE001 - as above
            self._report("on_end", error)

    def _report(self, where: str, error: Exception) -> None:
        asyncio.get_running_loop().call_exception_handler(
            {"message": f"{where} of a gRPC call raised", "exception": error}
        )
