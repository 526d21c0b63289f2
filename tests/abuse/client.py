"""What abusers send with: connections that carry anything, and an HTTP client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import httpx

from tests.abuse.target import Target

Behaviour = Callable[[Target, str], Awaitable[str]]
"""Gets the target and the address to come from; returns a word for the outcome."""

ROUND_SECONDS = 20.0
MIB = 2**20
_PAUSE_SECONDS = 0.25


class Connection:
    """One connection over which anything can be sent."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, port: int, address: str) -> Connection:
        """Connect from an address of this machine."""
        return cls(*await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0)))

    async def send(self, data: bytes) -> None:
        """Send, at the pace at which it is taken."""
        self.writer.write(data)
        await self.writer.drain()

    async def drip(self, data: bytes, seconds: float) -> str:
        """Send byte by byte, a few a second, until the server hangs up."""
        ended = asyncio.ensure_future(self.reader.read(2**16))
        with suppress(ConnectionError):
            for byte in data[: int(seconds / _PAUSE_SECONDS)]:
                if ended.done():
                    break
                await self.send(bytes([byte]))
                await asyncio.wait([ended], timeout=_PAUSE_SECONDS)
        return await self.outcome(ended)

    async def outcome(self, first: asyncio.Future[bytes] | None = None) -> str:
        """Return the status that was answered, or what happened instead."""
        waiting = first or asyncio.ensure_future(self.reader.read(2**16))
        done, _ = await asyncio.wait([waiting], timeout=ROUND_SECONDS)
        self.writer.transport.abort()
        if not done:
            return "no answer yet"
        with suppress(ConnectionError):
            answer = await waiting
            return answer.split(b" ")[1].decode() if answer else "closed"
        return "reset"


def post(path: str, key: str, length: int, content_type: str = "application/json") -> bytes:
    """Return the head of a request with a body of `length` bytes."""
    credentials = f"X-API-Key: {key}\r\n" if key else ""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{credentials}"
    head += f"Content-Type: {content_type}\r\n"
    return f"{head}Content-Length: {length}\r\n\r\n".encode()


def trigger(target: Target, name: str) -> str:
    """Return the path that calls a deployment."""
    return f"/node/deployment-trigger/{target.deployments[name]}/"


async def at_once(count: int, one: Callable[[], Awaitable[str]]) -> str:
    """Do the same many times at once; return the most frequent outcome."""
    outcomes = await asyncio.gather(*(one() for _ in range(count)), return_exceptions=True)
    words = [type(one).__name__ if isinstance(one, BaseException) else one for one in outcomes]
    return max(set(words), key=words.count)


def http_client(target: Target, address: str, key: str = "") -> httpx.AsyncClient:
    """Return a client that connects from an address of this machine."""
    return httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{target.port}",
        transport=httpx.AsyncHTTPTransport(local_address=address),
        timeout=120,
        headers={"X-API-Key": key} if key else None,
    )
