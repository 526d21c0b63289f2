"""What programs without a key do. Each function does it once and returns what came of it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from contextlib import suppress

from tests.abuse.client import (
    MIB,
    ROUND_SECONDS,
    Behaviour,
    Connection,
    at_once,
    http_client,
    post,
    trigger,
)
from tests.abuse.target import Target
from tests.transport.services import RawPeer, request_headers
from transport import frames, http2

_INFER = "/inference.GRPCInferenceService/ModelInfer"
_HEADERS = request_headers(_INFER)
_OVERSIZED_HEADERS = request_headers(_INFER, ("x-large", "a" * 100_000))
"""Encoded once: a flood would else be as slow as the encoder."""

_STREAMS = range(1, 40_000, 2)


async def send_headers_slowly(target: Target, address: str) -> str:
    async def one() -> str:
        connection = await Connection.to(target.port, address)
        return await connection.drip(b"GET /livez HTTP/1.1\r\nX-A: " + b"a" * 1000, ROUND_SECONDS)

    return await at_once(64, one)


async def connect_and_wait(target: Target, address: str) -> str:
    async def one() -> str:
        connection = await Connection.to(target.port, address)
        return await connection.outcome()

    return await at_once(256, one)


async def send_bodies_slowly(target: Target, address: str) -> str:
    async def one() -> str:
        connection = await Connection.to(target.port, address)
        await connection.send(post("/node/session/", "", 4000))
        return await connection.drip(b"{" * 4000, ROUND_SECONDS)

    return await at_once(64, one)


async def send_large_bodies(target: Target, address: str) -> str:
    async def one() -> str:
        connection = await Connection.to(target.port, address)
        with suppress(ConnectionError):
            await connection.send(post(trigger(target, "any"), "", 60 * MIB))
            for _ in range(60):
                await connection.send(bytes(MIB))
        return await connection.outcome()

    return await at_once(4, one)


async def guess_keys(target: Target, address: str) -> str:
    async with http_client(target, address) as http:
        for _ in range(100):
            key = "sk-" + "".join(random.choices("abcdefghijkmnopqrstuvwxyz23456789", k=43))
            answer = await http.get("/node/flows/", headers={"X-API-Key": key})
    return str(answer.status_code)


async def guess_passwords(target: Target, address: str) -> str:
    async with http_client(target, address) as http:

        async def one() -> str:
            login = {"email": f"{random.random()}@example.com", "password": "x" * 256}
            return str((await http.post("/node/session/", json=login)).status_code)

        return await at_once(20, one)


async def send_garbage(target: Target, address: str) -> str:
    connection = await Connection.to(target.port, address)
    with suppress(ConnectionError):
        await connection.send(random.randbytes(MIB))
    return await connection.outcome()


async def read_nothing(target: Target, address: str) -> str:
    connection = await Connection.to(target.port, address)
    connection.reader._transport.pause_reading()  # type: ignore[attr-defined]
    request = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(ROUND_SECONDS):
            await connection.send(request * 2000)
            await asyncio.sleep(ROUND_SECONDS)
    return await connection.outcome()


async def reset_calls(target: Target, address: str) -> str:
    return await _flood(
        target,
        address,
        (_call(n) + frames.reset(n, http2.Http2ErrorCode.CANCEL) for n in _STREAMS),
    )


async def ping(target: Target, address: str) -> str:
    return await _flood(target, address, (frames.ping(b"12345678") for _ in _STREAMS))


async def send_oversized_headers(target: Target, address: str) -> str:
    calls = (_call(n, _OVERSIZED_HEADERS) for n in _STREAMS[:100])
    return await _flood(target, address, calls)


ANONYMOUS: dict[str, Behaviour] = {
    "headers, slowly": send_headers_slowly,
    "connections without a byte": connect_and_wait,
    "bodies, slowly": send_bodies_slowly,
    "large bodies without a key": send_large_bodies,
    "wrong keys": guess_keys,
    "wrong passwords": guess_passwords,
    "garbage": send_garbage,
    "requests, reading nothing": read_nothing,
    "gRPC: calls and resets": reset_calls,
    "gRPC: pings": ping,
    "gRPC: oversized headers": send_oversized_headers,
}


def _call(stream_id: int, block: bytes = _HEADERS) -> bytes:
    return frames.frame(http2.HEADERS, http2.END_HEADERS, stream_id, block)


async def _flood(target: Target, address: str, pieces: Iterable[bytes]) -> str:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", target.grpc_port, local_addr=(address, 0)
    )
    peer = RawPeer(reader, writer)
    peer.send(http2.PREFACE, frames.settings({}))
    code = await peer.flood(pieces)
    writer.transport.abort()
    return f"GOAWAY {code}" if code >= 0 else "closed"
