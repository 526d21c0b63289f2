"""The client's side: a connection to one server, and the calls on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from transport.addresses import parse_address
from transport.calls import ClientStream, OnEnd, OnMessage
from transport.client_link import ClientLink
from transport.limits import Limits
from transport.outbox import Buffer
from transport.requests import options_block
from transport.status import RpcError, Status, StatusCode
from transport.tls import ClientTls

_CONNECT_SECONDS = 5.0
_NO_METADATA: tuple[tuple[str, str | bytes], ...] = ()


async def connect(
    address: str,
    *,
    limits: Limits | None = None,
    timeout: float = _CONNECT_SECONDS,
    on_drain: Callable[[], None] | None = None,
    tls: ClientTls | None = None,
) -> Connection:
    """Return a connection to the server at `unix:/path`, `host:port` or `grpcs://host:port`.

    Args:
        address: of the server.
        limits: of the connection, such as `max_message_bytes`.
        timeout: seconds until the server must have introduced itself.
        on_drain: called when the server announces that it takes no new call (calls in flight go
            on), so that another connection can be made in time.
        tls: for an address with `grpcs://`; None: trust whom the system trusts.

    Raises:
        RpcError: UNAVAILABLE, there is no server, it does not speak HTTP/2, or one side does not
            trust the other.
        ValueError: the address has none of the forms.
    """
    target = parse_address(address)
    loop = asyncio.get_running_loop()

    def build() -> ClientLink:
        return ClientLink(limits or Limits(), target.authority, on_drain)

    link: ClientLink | None = None
    try:
        async with asyncio.timeout(timeout):
            if target.path:
                _, link = await loop.create_unix_connection(build, target.path)
            elif target.tls:
                tls = tls or ClientTls()
                _, link = await loop.create_connection(
                    build,
                    target.host,
                    target.port,
                    ssl=tls.context(),
                    server_hostname=tls.server_name or target.host,
                )
            else:
                _, link = await loop.create_connection(build, target.host, target.port)
            await asyncio.shield(link.ready)
    except RpcError as error:
        if not target.tls:
            raise
        # Python sends no alert that would say why.
        why = f"{error.message}; did it want a certificate, or another one?"
        raise RpcError(error.code, f"no connection to {address}: {why}") from None
    except (OSError, TimeoutError) as error:
        why = str(error) or f"no answer within {timeout} s"
        raise RpcError(StatusCode.UNAVAILABLE, f"no connection to {address}: {why}") from error
    finally:
        if link is not None and not link.ready.done():
            link.close(RpcError(StatusCode.UNAVAILABLE, "the connection was not completed"))
    return Connection(link)


class Connection:
    """A live connection to one server. Belongs to the event loop that made it.

    It never comes back: when it breaks, every call on it fails at once with UNAVAILABLE, `closed`
    is done, and another one has to be made.
    """

    def __init__(self, link: ClientLink) -> None:
        self._link = link
        self.closed: asyncio.Future[RpcError] = link.closed
        """Done when the connection is over; its result says why."""

    @property
    def usable(self) -> bool:
        """Whether new calls may be made: the connection lives, and the server is not draining."""
        return self._link.refusal is None

    @property
    def in_flight(self) -> int:
        """How many calls are not over."""
        return self._link.in_flight

    def open_stream(
        self,
        path: str,
        *,
        on_message: OnMessage,
        on_end: OnEnd,
        timeout: float | None = None,
        metadata: Iterable[tuple[str, str | bytes]] = _NO_METADATA,
    ) -> ClientStream:
        """Begin a call of any kind. Where the server's limit of calls is reached, it waits.

        Args:
            path: of the method, `/package.Service/Method`.
            on_message: gets each message, in order, in the read in which it arrived.
            on_end: gets the status, once, whatever happens; nothing is called after it.
            timeout: seconds until the call ends with DEADLINE_EXCEEDED; the server is told.
            metadata: for the server.

        Raises:
            RpcError: UNAVAILABLE, the connection is over or draining; `on_end` is not called.
            ValueError: metadata that gRPC does not allow.
        """
        link = self._link
        block = link.blocks.get(path)
        if block is None:
            block = link.new_block(path)
        if timeout is not None or metadata:
            block += options_block(timeout, metadata)
        stream = ClientStream(link, block, on_message, on_end)
        link.open(stream)
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
        """Return the server's one answer to one message. Cancelling the task cancels the call.

        Raises:
            RpcError: what the server said; UNAVAILABLE if the connection broke;
                DEADLINE_EXCEEDED after `timeout` seconds.
            ValueError: metadata that gRPC does not allow.
        """
        future: asyncio.Future[Status] = self._link.loop.create_future()
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
            stream.cancel()  # of no effect on a call that is over
        if not status.ok:
            raise status.error()
        if len(answers) != 1:
            raise RpcError(StatusCode.INTERNAL, f"{len(answers)} answers to a unary call")
        return answers[0]

    def close(self) -> None:
        """Close the connection; calls in flight end with CANCELLED."""
        self._link.shut()
