"""What one client may hold: memory of bodies that are arriving, their number, and connections."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

import orjson
import pytest

from gateway.auth.proxies import TrustedProxies
from gateway.errors import GatewayError
from gateway.fast_path.clients import UNCOUNTED_BODY_BYTES, UnfinishedBodies
from gateway.web.connection_limits import ConnectionLimits
from tests.gateway.fast_path.calls import LIMIT
from tests.gateway.fast_path.client import Answer, Client, post
from tests.gateway.fast_path.conftest import Serve, Served
from tests.timing import TIMEOUT_SECONDS

ECHO, ASGI, WAIT = b"/direct/echo", b"/asgi/echo", b"/direct/wait"
OTHER = "127.0.0.2"
LARGE = post(ECHO, bytes(LIMIT))
HELD = LIMIT - UNCOUNTED_BODY_BYTES - 1
"""Bytes in the budget of a large body that lacks its last byte."""


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Receiver:
    """Keeps the error that ends its request."""

    error: GatewayError | None = None

    def give_up(self, error: GatewayError) -> None:
        """See BodyReceiver."""
        self.error = error


# Any: limits of all types
async def limited(serve: Serve, clock: Clock | None = None, **limits: Any) -> Served:
    """Return a server with other limits than usual, and refusals as they are counted."""
    served = await serve()
    served.application.limits = ConnectionLimits(**limits)
    clients = served.application.clients
    clients.on_refusal = served.refusals.append
    if clock is not None:
        clients.bodies = UnfinishedBodies(clock)
    return served


def code_of(answer: Answer) -> tuple[int, str]:
    """Return status and code; the tests' own route answers with the code alone."""
    text = answer.body.decode()
    return answer.status, orjson.loads(text)["code"] if text.startswith("{") else text


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something on the server's side that has no event."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while not condition():  # noqa: ASYNC110 - as said
            await asyncio.sleep(0.005)


async def until_used(served: Served, count: int) -> None:
    """Wait until the budget holds `count` bytes."""
    await until(lambda: served.application.clients.bodies.used == count)


async def begin(served: Served, request: bytes, *, address: str = "127.0.0.1") -> Client:
    """Send a request but for its last byte, on a new connection."""
    counts = served.application.clients.bodies._by_address
    before = counts.total()
    client = await served.client(address)
    client.send(request[:-1])
    await until(lambda: counts.total() > before)
    return client


async def hold(served: Served, address: str = "127.0.0.1", request: bytes = LARGE) -> Client:
    """Send a large body but for its last byte."""
    used = served.application.clients.bodies.used
    client = await served.client(address)
    client.send(request[:-1])
    await until_used(served, used + HELD)
    return client


def test_the_oldest_large_body_is_ended_for_a_new_one_after_ten_seconds() -> None:
    clock = Clock()
    bodies = UnfinishedBodies(clock)
    receivers = [Receiver() for _ in range(3)]
    first, second, third = (bodies.add(receiver, "192.0.2.1", 9) for receiver in receivers)
    size = UNCOUNTED_BODY_BYTES + 1000
    bodies.resize(first, size, 2000)
    bodies.resize(second, size, 2000)
    clock.now = 9.9
    bodies.resize(third, UNCOUNTED_BODY_BYTES, 2000)
    with pytest.raises(GatewayError) as refused:
        bodies.resize(third, size, 2000)
    assert refused.value.code == "body_memory_exhausted"
    assert [receiver.error for receiver in receivers] == [None] * 3
    clock.now = 10.0
    bodies.resize(third, size, 2000)
    assert [receiver.error is None for receiver in receivers] == [False, True, True]
    with pytest.raises(GatewayError):  # the oldest one is the one that grows
        bodies.resize(second, size + 1, 2000)
    for body in (first, second, third):
        bodies.remove(body)
    assert bodies.used == 0


@pytest.mark.parametrize("target", [ECHO, ASGI])
async def test_a_large_body_is_refused_while_others_take_all_memory_and_small_ones_pass(
    serve: Serve, target: bytes
) -> None:
    served = await limited(serve, max_unfinished_bytes=2 * HELD)
    holders = [await hold(served) for _ in range(2)]
    client = await served.client()
    client.send(post(target, bytes(LIMIT))[:-1])
    answer = await client.answer()
    assert code_of(answer) == (503, "body_memory_exhausted")
    assert answer.closes
    assert await client.rest() == b""
    assert served.refusals == ["body_memory"]
    small = post(target, bytes(UNCOUNTED_BODY_BYTES))
    assert (await (await begin(served, small)).asked(small[-1:])).status == 200
    for holder in holders:
        assert (await holder.asked(LARGE[-1:])).status == 200
    await until_used(served, 0)
    assert (await (await served.client()).asked(LARGE)).status == 200


@pytest.mark.parametrize("held", [ECHO, ASGI])
async def test_a_body_that_is_held_back_is_ended_when_others_need_its_memory(
    serve: Serve, held: bytes
) -> None:
    clock = Clock()
    served = await limited(serve, clock, max_unfinished_bytes=2 * HELD)
    oldest, other = [await hold(served, request=post(held, bytes(LIMIT))) for _ in range(2)]
    clock.now = 60.0
    client = await served.client()
    client.send(LARGE[:-1])
    assert code_of(await oldest.answer()) == (503, "body_memory_exhausted")
    assert await oldest.rest() == b""
    for each in (client, other):
        assert (await each.asked(LARGE[-1:])).status == 200
    await until_used(served, 0)


async def test_memory_is_free_when_its_clients_have_left(serve: Serve) -> None:
    served = await limited(serve)
    for request in (LARGE, post(ASGI, bytes(LIMIT))):
        (await hold(served, request=request)).abort()
        await until_used(served, 0)


async def test_requests_in_one_read_are_not_counted(serve: Serve) -> None:
    served = await limited(serve, max_bodies_per_address=0)
    client = await served.client()
    for target in (ECHO, ECHO, ASGI, ECHO):
        assert (await client.asked(post(target, b"whole"))).status == 200


@pytest.mark.parametrize("target", [ECHO, ASGI])
async def test_an_address_has_so_many_bodies_arriving_and_others_have_theirs(
    serve: Serve, target: bytes
) -> None:
    served = await limited(serve, max_bodies_per_address=2)
    request = post(target, b"body")
    slow = [await begin(served, request) for _ in range(2)]
    refused = await served.client()
    answer = await refused.asked(request[:-1])
    assert code_of(answer) == (429, "overloaded")
    assert answer.closes
    assert served.refusals == ["address_bodies"]
    other = await begin(served, request, address=OTHER)
    for client in (other, *slow):
        assert (await client.asked(request[-1:])).status == 200
    again = await begin(served, request)
    assert (await again.asked(request[-1:])).status == 200, "finished ones count no longer"


async def test_behind_a_trusted_proxy_the_forwarded_address_counts(serve: Serve) -> None:
    served = await limited(serve, max_bodies_per_address=1, max_connections_per_address=1)
    served.application.clients.proxies = TrustedProxies((ip_network("127.0.0.0/8"),))
    requests = [
        post(target, b"body", b"x-forwarded-for: 192.0.2.%d" % number)
        for target, number in ((ECHO, 1), (ECHO, 2), (ASGI, 3), (ASGI, 1))
    ]
    clients = [await begin(served, request) for request in requests[:3]]
    assert (await (await served.client()).asked(requests[3][:-1])).status == 429
    for client in clients:
        assert (await client.asked(b"y")).status == 200


async def test_an_address_has_so_many_connections_and_others_have_theirs(serve: Serve) -> None:
    served = await limited(serve, max_connections_per_address=2)
    busy = [await served.client() for _ in range(2)]
    for client in busy:
        client.send(post(WAIT))
    calls = [await served.route.waiting.get() for _ in busy]
    answer = await (await served.client()).answer()
    assert code_of(answer) == (503, "too_many_connections")
    assert b"retry-after" in answer.headers
    assert served.refusals == ["address_connections"]
    assert (await (await served.client(OTHER)).asked(post(ECHO))).status == 200
    for call, client in zip(calls, busy, strict=True):
        call.echo()
        assert (await client.answer()).status == 200
    newcomer = await served.client()
    assert (await newcomer.asked(post(ECHO))).status == 200, "an idle one is closed for it"
    await until(lambda: served.application.clients.connections_of("127.0.0.1") == 2)


async def test_connections_that_ended_do_not_count(serve: Serve) -> None:
    served = await limited(serve, max_connections_per_address=1)
    for _ in range(4):
        client = await served.client()
        assert (await client.asked(post(ECHO))).status == 200
        await client.close()
        await until(lambda: not served.application.clients.connections_of("127.0.0.1"))
