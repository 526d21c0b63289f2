"""Small HTTP servers that misbehave as told, and a resolver that says what it is told."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_address

from gateway.outbound.addresses import Address

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


class StaticResolver:
    """A resolver that returns the next answer for a name on each query, then repeats the last."""

    def __init__(self, **answers: Sequence[Sequence[str]]) -> None:
        """Know names, with `_` for a dot."""
        self._answers = {name.replace("_", "."): list(given) for name, given in answers.items()}
        self.asked: list[str] = []

    async def resolve(self, host: str) -> Sequence[Address]:
        self.asked.append(host)
        answers = self._answers.get(host)
        if answers is None:
            raise OSError(f"no such name: {host}")
        given = answers.pop(0) if len(answers) > 1 else answers[0]
        return [ip_address(text) for text in given]


class ReceivedRequests:
    """What a server has been sent."""

    def __init__(self) -> None:
        self.heads: list[str] = []
        self.bodies: list[bytes] = []
        self.port = 0


@asynccontextmanager
async def serving(
    answer: Answer, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[ReceivedRequests]:
    """Serve one request a connection."""
    heard = ReceivedRequests()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            heard.heads.append(head)
            lengths = [
                int(line.partition(":")[2])
                for line in head.split("\r\n")
                if line.lower().startswith("content-length:")
            ]
            heard.bodies.append(await reader.readexactly(sum(lengths)))
            await answer(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, host, 0, ssl=tls)
    heard.port = server.sockets[0].getsockname()[1]
    try:
        yield heard
    finally:
        server.close()


def plain(text: str, *, status: str = "200 OK", headers: str = "") -> Answer:
    """Answer with a text."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        body = text.encode()
        head = f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n{headers}"
        writer.write(f"{head}\r\n".encode() + body)
        await writer.drain()

    return answer


def raw(*chunks: bytes, pause: float = 0.0) -> Answer:
    """Send bytes as they are, one chunk after the other."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        for chunk in chunks:
            writer.write(chunk)
            await writer.drain()
            await asyncio.sleep(pause)

    return answer


def flood(writer_head: bytes, chunk: bytes) -> Answer:
    """Send a head, then the same bytes without a limit."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(writer_head)
        while True:
            writer.write(chunk)
            await writer.drain()

    return answer
