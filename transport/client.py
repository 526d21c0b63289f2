"""A gRPC client: a connection to one server, and the calls on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from transport.addresses import parse_address
from transport.call_headers import options_block
from transport.client_connection import Http2ClientConnection
from transport.client_stream import ClientStream, OnEnd, OnMessage
from transport.limits import GrpcLimits
from transport.status import RpcError, Status, StatusCode
from transport.tls import ClientTls
from transport.write_queue import Buffer

_CONNECT_SECONDS = 5.0
_NO_METADATA: tuple[tuple[str, str | bytes], ...] = ()


async def connect(
    address: str,
    *,
    limits: GrpcLimits | None = None,
    timeout: float = _CONNECT_SECONDS,
    on_drain: Callable[[], None] | None = None,
    tls: ClientTls | None = None,
) -> GrpcConnection:
    """Connect to the server at `unix:/path`, `host:port` or `grpcs://host:port`.

    Args:
        address: of the server.
        limits: of the connection, such as `max_message_bytes`.
        timeout: seconds until the connection must be complete, with the server's SETTINGS.
        on_drain: called when the server announces that it takes no new calls, so that another
            connection can be made in time; calls in flight continue.
        tls: for an address with `grpcs://`; default: verify servers by the system's CAs.

    Raises:
        RpcError: UNAVAILABLE, there is no server, it does not speak HTTP/2, or a certificate was
            rejected.
        ValueError: the address has none of these forms.
    """
    target = parse_address(address)
    loop = asyncio.get_running_loop()

    def build() -> Http2ClientConnection:
        return Http2ClientConnection(limits or GrpcLimits(), target.authority, on_drain)

    http2: Http2ClientConnection | None = None
    connection: GrpcConnection | None = None
    try:
        async with asyncio.timeout(timeout):
            if target.path:
                _, http2 = await loop.create_unix_connection(build, target.path)
            elif target.tls:
                tls = tls or ClientTls()
                _, http2 = await loop.create_connection(
                    build,
                    target.host,
                    target.port,
                    ssl=tls.context(),
                    server_hostname=tls.server_name or target.host,
                )
            else:
                _, http2 = await loop.create_connection(build, target.host, target.port)
            await asyncio.shield(http2.ready)
        connection = GrpcConnection(http2)
    except RpcError as error:
        if not target.tls:
            raise
        # The server closes without an alert that would give the reason
        why = f"{error.message}; does the server require a client certificate, or another one?"
        raise RpcError(error.code, f"no connection to {address}: {why}") from None
    except (OSError, TimeoutError) as error:
        why = str(error) or f"no answer within {timeout} s"
        raise RpcError(StatusCode.UNAVAILABLE, f"no connection to {address}: {why}") from error
    finally:
        # Not `http2.ready`: a caller may be cancelled in the turn in which it is done.
        if http2 is not None and connection is None:
            http2.abort("the connection was not completed")
    return connection


class GrpcConnection:
    """A live connection to one server. Belongs to the event loop that made it.

    It does not reconnect: when it breaks, every call on it fails at once with UNAVAILABLE, `closed`
    is done, and a new connection has to be made.
    """

    def __init__(self, http2: Http2ClientConnection) -> None:
        self._http2 = http2
        self.closed: asyncio.Future[RpcError] = http2.closed
        """Done when the connection is over; its result is the reason."""

    @property
    def usable(self) -> bool:
        """Whether new calls may be made: the connection is up and the server is not draining."""
        return self._http2.refusal is None

    @property
    def in_flight(self) -> int:
        """The number of calls that are not over."""
        return self._http2.in_flight

    def start_keepalive(self, seconds: float) -> None:
        """Ping the server after so many seconds of silence, close after as many again.

        For servers that are known to allow it: stock gRPC servers close the connection when pings
        come more often than every five minutes.
        """
        self._http2.start_keepalive(seconds)

    def open_stream(
        self,
        path: str,
        *,
        on_message: OnMessage,
        on_end: OnEnd,
        timeout: float | None = None,
        metadata: Iterable[tuple[str, str | bytes]] = _NO_METADATA,
    ) -> ClientStream:
        """Start a call, unary or streaming. At the server's limit of streams it is queued.

        Args:
            path: of the method, `/package.Service/Method`.
            on_message: called with each message, in order, in the read in which it arrived.
            on_end: called with the status, exactly once; nothing is called after it.
            timeout: seconds until the call ends with DEADLINE_EXCEEDED; sent to the server.
            metadata: sent to the server.

        Raises:
            RpcError: UNAVAILABLE, the connection is over or draining; `on_end` is not called.
            ValueError: gRPC does not allow the metadata.
        """
        http2 = self._http2
        block = http2.request_blocks.get(path)
        if block is None:
            block = http2.add_request_block(path)
        if timeout is not None or metadata:
            block += options_block(timeout, metadata)
        stream = ClientStream(http2, block, on_message, on_end)
        http2.open(stream)
        if timeout is not None:
            stream.expire_in(timeout)
        return stream

    async def unary(
        self,
        path: str,
        request: Buffer,
        *,
        timeout: float | None = None,
        metadata: Iterable[tuple[str, str | bytes]] = _NO_METADATA,
    ) -> bytes:
        """Send one message and return the answer. Cancelling the task cancels the call.

        Raises:
            RpcError: the server's status; UNAVAILABLE if the connection broke;
                DEADLINE_EXCEEDED after `timeout` seconds.
            ValueError: gRPC does not allow the metadata.
        """
        future: asyncio.Future[Status] = self._http2.loop.create_future()
        answers: list[bytes] = []

        def on_end(status: Status) -> None:
            if not future.done():
                future.set_result(status)

        stream = self.open_stream(
            path, on_message=answers.append, on_end=on_end, timeout=timeout, metadata=metadata
        )
        stream.send_last(request)
        try:
            status = await future
        finally:
            stream.cancel()  # no effect on a call that is over
        if not status.ok:
            raise status.error()
        if len(answers) != 1:
            raise RpcError(StatusCode.INTERNAL, f"{len(answers)} answers to a unary call")
        return answers[0]

    def close(self) -> None:
        """Close the connection; calls in flight end with CANCELLED."""
        self._http2.shutdown()

    async def wait_closed(self) -> None:
        """Wait for the socket of a closed connection to be closed, a second at most.

        What closes a connection and then ends the event loop waits in between: otherwise bytes that
        are not yet written are lost, and the socket stays open.
        """
        await asyncio.shield(self._http2.lost)
