"""What surrounds every management route."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx

from gateway.body_parsing.parser import build_parser
from gateway.children.metrics import ChildMetrics
from gateway.web.asgi import Receive, Scope, Send
from gateway.web.middleware import RestMiddleware
from telemetry.instruments import Registry

SECONDS = 0.2
PARSER = build_parser(ChildMetrics(Registry()))
"""Not started by small bodies."""


async def slow(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer after a while: `/node/begun/` begins at once, and all others when they are through."""
    started = {"type": "http.response.start", "status": 200, "headers": []}
    if scope["path"] == "/node/begun/":
        await send(started)
        await asyncio.sleep(3 * SECONDS)
    else:
        if scope["path"] == "/node/models/":
            scope["state"]["limit_body"](None)
        await asyncio.sleep(3 * SECONDS)
        await send(started)
    await send({"type": "http.response.body", "body": b"through"})


def client() -> httpx.AsyncClient:
    shell = RestMiddleware(slow, PARSER, max_body_bytes=1000, timeout_seconds=SECONDS)
    return httpx.AsyncClient(transport=httpx.ASGITransport(shell), base_url="http://shell")


async def test_a_route_that_takes_too_long_is_answered_504() -> None:
    async with client() as http:
        answer = await http.get("/node/flows/")
    assert (answer.status_code, answer.json()["code"]) == (504, "deadline_exceeded")
    assert answer.headers["cache-control"] == "no-store"


async def test_a_response_that_has_begun_is_not_timed_out() -> None:
    async with client() as http:
        assert (await http.get("/node/begun/")).text == "through"


async def test_an_upload_is_not_timed_out() -> None:
    async with client() as http:
        assert (await http.post("/node/models/", content=b"x" * 5000)).text == "through"


async def test_deep_json_is_refused_in_any_chunks() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(70):
            yield b"["
        for _ in range(70):
            yield b"]"

    async def reading(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body", False):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    shell = RestMiddleware(reading, PARSER, max_body_bytes=1000)
    transport = httpx.ASGITransport(shell)
    async with httpx.AsyncClient(transport=transport, base_url="http://shell") as http:
        deep = await http.post("/node/flows/", content=pieces())
        form = {"content-type": "application/octet-stream"}
        other = await http.post("/node/flows/", content=b"[" * 70, headers=form)
    assert (deep.status_code, deep.json()["code"]) == (400, "invalid_json")
    assert other.status_code == 200
