"""What `make fleet` measures with: a strict load balancer, and counts of what happened outside."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from tests.chaos.audit import Row
from tests.chaos.call_log import Call
from tests.fleet.front import Front
from tests.fleet.outgoing_calls import OutgoingCalls, executed_wrongly
from tests.fleet.replicas import IRIS, PAIR, Replicas
from tests.timing import TIMEOUT_SECONDS


class Backend:
    """A host that says whether it is ready, and counts the calls that it gets."""

    def __init__(self) -> None:
        self.ready = True
        self.calls = 0
        self.url = ""

    @asynccontextmanager
    async def served(self) -> AsyncIterator[None]:
        """Listen on a free port."""
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server:
            yield

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        probe = b"/readyz" in head
        self.calls += not probe
        status = b"503 no" if probe and not self.ready else b"200 OK"
        writer.write(b"HTTP/1.1 %b\r\nconnection: close\r\ncontent-length: 0\r\n\r\n" % status)
        writer.close()


async def test_the_balancer_sends_nothing_to_a_host_that_is_not_ready() -> None:
    one, two = Backend(), Backend()
    async with one.served(), two.served():
        front = Front({"one": one.url, "two": two.url})
        async with httpx.AsyncClient(transport=front, base_url="http://fleet") as http:

            async def until(**up: bool) -> None:
                deadline = time.monotonic() + TIMEOUT_SECONDS
                while front.up != up:
                    assert time.monotonic() < deadline
                    await asyncio.sleep(0.02)

            one.ready = False
            await until(one=False, two=True)
            for _ in range(4):
                assert (await http.get("/")).is_success
            assert (one.calls, two.calls) == (0, 4)
            two.ready = False
            await until(one=False, two=False)
            with pytest.raises(httpx.ConnectError, match="no host is ready"):
                await http.get("/")
            assert (one.calls, two.calls, front.passed_on) == (0, 4, 0)


def test_what_runs_do_too_often_too_late_or_not_at_all_is_found() -> None:
    outgoing = OutgoingCalls("127.0.0.1")
    try:
        for path in ("/good", "/twice", "/twice", "/late"):
            outgoing.count(path)
    finally:
        outgoing.close()
    calls = [
        Call(pair="async api", deployment="one", key=key, body={}, run_ids=[key])
        for key in ("good", "twice", "late", "never")
    ]
    row = Row(deployment_id="one", status="completed", attempt=1, error_code=None)
    now = time.time()
    ended_at = {"good": now, "twice": now, "late": now - 10, "never": now}
    found = executed_wrongly(calls, dict.fromkeys(ended_at, row), ended_at, outgoing)
    assert [line.partition("run ")[2].split()[0] for line in found] == ["twice", "late", "never"]


def test_the_fullest_host_has_most_replicas_of_a_model() -> None:
    spread = Replicas(Counter({(IRIS, "a"): 1, (IRIS, "b"): 1, (IRIS, "c"): 1, (PAIR, "b"): 1}))
    assert spread.are_spread()
    assert not spread.are_all_ready()
    assert spread.fullest() == "b"
    spread.on_hosts[PAIR, "c"] = 1
    spread.registered[IRIS] = 1
    assert spread.are_all_ready()
    crowded = Replicas(Counter({(IRIS, "a"): 1, (IRIS, "b"): 1, (IRIS, "c"): 1, (PAIR, "c"): 2}))
    assert not crowded.are_spread()
    assert crowded.fullest() == "c"
