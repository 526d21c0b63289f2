"""A client that sends what a test says, byte for byte."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Self

from tests.timing import TIMEOUT_SECONDS


@dataclass(frozen=True)
class Answer:
    """One answer, as it was read."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes

    @property
    def closes(self) -> bool:
        """Whether it is said to be the connection's last."""
        return self.headers.get(b"connection") == b"close"


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, port: int, address: str = "127.0.0.1") -> Self:
        """Connect from an address of this machine."""
        return cls(*await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0)))

    def send(self, *parts: bytes) -> None:
        """Send the parts in one write."""
        self.writer.write(b"".join(parts))

    async def answer(self) -> Answer:
        """Return the next answer; an interim one (100) is one, too."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            head = await self.reader.readuntil(b"\r\n\r\n")
            status, *lines = head[:-4].split(b"\r\n")
            headers = dict(line.lower().split(b": ", 1) for line in lines)
            length = int(headers.get(b"content-length", b"0"))
            body = await self.reader.readexactly(length)
        return Answer(int(status.split(b" ")[1]), headers, body)

    async def asked(self, *parts: bytes) -> Answer:
        """Send a request and return its answer."""
        self.send(*parts)
        return await self.answer()

    async def rest(self) -> bytes:
        """Return all that comes until the server closes the connection."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            try:
                return await self.reader.read()
            except ConnectionResetError:  # with something of ours unread
                return b""

    async def close(self) -> None:
        """End the connection as most clients do."""
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()

    def abort(self) -> None:
        """End the connection as a client that crashes does."""
        self.writer.transport.abort()


def post(target: bytes, body: bytes = b"", *headers: bytes, version: bytes = b"1.1") -> bytes:
    """Return a request with its Content-Length."""
    length = b"content-length: %d" % len(body)
    lines = [b"POST %b HTTP/%b" % (target, version), b"host: test", length, *headers]
    return b"\r\n".join([*lines, b"", body])


def chunked(target: bytes, *chunks: bytes, trailers: bytes = b"") -> bytes:
    """Return a request whose body comes in chunks."""
    head = post(target).replace(b"content-length: 0", b"transfer-encoding: chunked")
    pieces = [b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks]
    return b"".join([head, *pieces, b"0\r\n", trailers, b"\r\n"])
