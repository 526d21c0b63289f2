"""A connection as httpcore takes it, straight on the event loop.

Time-outs are left to whoever calls: a request has one deadline for all of it.
"""

from __future__ import annotations

import asyncio
import select
import ssl
from typing import Any, cast

import httpcore

_WRITTEN_AT_ONCE = 64 * 1024
_MOST_UNREAD = 256 * 1024


class TcpStream(httpcore.AsyncNetworkStream, asyncio.Protocol):
    """Sends what is written when it is enough, or when an answer is read: head and body are one.

    An instance is the protocol of its transport; `connect` makes both.
    """

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._unsent = bytearray()
        self._unread = bytearray()
        self._ended = False
        self._paused = False
        self._trouble: Exception | None = None
        self._news: asyncio.Future[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    @classmethod
    async def connect(cls, address: str, port: int) -> TcpStream:
        """Return a connection to an IP address.

        Raises:
            httpcore.ConnectError: there is none.
        """
        loop = asyncio.get_running_loop()
        try:
            _, line = await loop.create_connection(cls, address, port)
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        return line

    async def read(
        self,
        max_bytes: int,
        timeout: float | None = None,  # noqa: ARG002 - httpcore's signature
    ) -> bytes:
        """Return some bytes as soon as there are any; none at the end."""
        await self._send()
        while not self._unread:
            if self._trouble is not None:
                raise httpcore.ReadError(str(self._trouble)) from self._trouble
            if self._ended:
                return b""
            self._news = asyncio.get_running_loop().create_future()
            await self._news
        data = bytes(self._unread[:max_bytes])
        del self._unread[:max_bytes]
        if self._paused and len(self._unread) < _MOST_UNREAD:
            self._paused = False
            self._transport.resume_reading()
        return data

    async def write(
        self,
        buffer: bytes,
        timeout: float | None = None,  # noqa: ARG002 - httpcore's signature
    ) -> None:
        """Send bytes, now or with those that come next."""
        self._unsent += buffer
        if len(self._unsent) >= _WRITTEN_AT_ONCE:
            await self._send()

    async def aclose(self) -> None:
        """Hang up."""
        self._transport.abort()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002 - httpcore's signature
    ) -> TcpStream:
        """Go on encrypted; the certificate must be `server_hostname`'s."""
        loop = asyncio.get_running_loop()
        try:
            transport = await loop.start_tls(
                self._transport, self, ssl_context, server_hostname=server_hostname
            )
        except BaseException as error:
            self._transport.abort()
            if isinstance(error, OSError):
                raise httpcore.ConnectError(str(error)) from error
            raise
        if transport is None:
            raise httpcore.ConnectError("the connection was lost")
        self._transport = transport
        return self

    # Any: as httpcore has it
    def get_extra_info(self, info: str) -> Any:
        """Return what httpcore asks of a connection."""
        match info:
            case "server_addr":
                return self._transport.get_extra_info("peername")
            case "ssl_object":
                return self._transport.get_extra_info("ssl_object")
            case "is_readable":
                return self._is_readable()
            case _:
                return None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._unread += data
        if len(self._unread) >= _MOST_UNREAD and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        self._tell()

    def eof_received(self) -> None:
        """See asyncio.Protocol."""
        self._ended = True
        self._tell()

    def connection_lost(self, error: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._ended = True
        self._trouble = error
        self._writable.set()
        self._tell()

    def pause_writing(self) -> None:
        """See asyncio.Protocol."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """See asyncio.Protocol."""
        self._writable.set()

    async def _send(self) -> None:
        if not self._unsent:
            return
        data = bytes(self._unsent)
        self._unsent.clear()
        if not self._ended:  # what it had said before that can still be read
            self._transport.write(data)
            await self._writable.wait()

    def _tell(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    def _is_readable(self) -> bool:
        """Whether the other side has said something or hung up, be it that the loop knows not."""
        if self._ended or self._unread:
            return True
        socket = self._transport.get_extra_info("socket")
        if socket is None or socket.fileno() < 0:
            return True
        poll = select.poll()
        poll.register(socket.fileno(), select.POLLIN)
        return bool(poll.poll(0))
