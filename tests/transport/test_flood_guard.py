"""Floods are refused by how much arrives, and cancellations of calls are not floods."""

from __future__ import annotations

import asyncio

import pytest

from tests.timing import TIMEOUT_SECONDS
from tests.transport.conftest import Dial, Start
from tests.transport.services import ECHO, SLOW, STREAM, RawPeer, data, headers, message
from transport import GrpcLimits, frames, http2
from transport.flood_guard import AddressResets, FloodGuard
from transport.http2 import Http2ErrorCode, PeerError

CALM = Http2ErrorCode.ENHANCE_YOUR_CALM
BURST = 20_000
CONNECTIONS = 6
STRICT = {"max_resets": 50, "resets_per_second": 0}


class Clock:
    """Monotonic seconds that pass only when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Peer:
    """What a guard knows of a peer."""

    def __init__(self, **limits: int) -> None:
        self.clock = Clock()
        self.received_bytes = 0
        self.opened_calls = 0
        self.guard = FloodGuard(
            GrpcLimits(**limits),
            self.clock,
            received_bytes=lambda: self.received_bytes,
            opened_calls=lambda: self.opened_calls,
        )

    def reset(self, calls: int, *, seconds_each: float = 0.0) -> None:
        for _ in range(calls):
            self.opened_calls += 1
            self.clock.now += seconds_each
            self.guard.count_reset("RST_STREAM")

    def ping(self, frames: int, *, seconds_each: float = 0.0) -> None:
        for _ in range(frames):
            self.clock.now += seconds_each
            self.guard.count("PING")


@pytest.mark.parametrize("seconds_each", [0.0, 0.0001, 0.001])
def test_a_burst_of_resets_is_refused_however_slowly_it_is_handled(seconds_each: float) -> None:
    with pytest.raises(PeerError, match="too many calls were reset"):
        Peer().reset(BURST, seconds_each=seconds_each)


@pytest.mark.parametrize("seconds_each", [0.0, 0.0001, 0.001])
def test_a_burst_of_other_frames_is_refused_however_slowly_it_is_handled(
    seconds_each: float,
) -> None:
    with pytest.raises(PeerError, match="too many useless frames, the last: PING"):
        Peer().ping(BURST, seconds_each=seconds_each)


def test_a_client_may_cancel_all_its_calls_at_once() -> None:
    peer = Peer()
    for _ in range(10):
        peer.reset(GrpcLimits().max_concurrent_streams)
        peer.clock.now += 5.0


def test_a_client_may_cancel_as_many_calls_as_it_lets_finish() -> None:
    peer = Peer()
    for _ in range(BURST):
        peer.opened_calls += 1
        peer.reset(1)


def test_calls_that_are_reset_later_earn_nothing_twice() -> None:
    peer = Peer(max_resets=100, resets_per_second=0)
    peer.opened_calls = 50
    with pytest.raises(PeerError):
        peer.reset(151)


def test_a_client_may_ping_with_every_message() -> None:
    peer = Peer()
    for _ in range(BURST):
        peer.received_bytes += 100
        peer.ping(1)


def test_connections_of_one_address_share_a_limit_of_resets() -> None:
    clock = Clock()
    addresses = AddressResets(GrpcLimits(), clock)

    def reset_from(host: str) -> None:
        peer = Peer()
        peer.guard.share_resets(addresses.find(host))
        peer.reset(BURST // 20)

    for number in range(8):
        reset_from(f"2001:db8::{number:x}")
    with pytest.raises(PeerError):
        reset_from("2001:db8::8")
    reset_from("192.0.2.7")


async def rapid_resets(peer: RawPeer, count: int) -> None:
    for number in range(1, 2 * count, 2):
        peer.send(headers(number, STREAM), frames.reset(number, Http2ErrorCode.CANCEL))


async def test_many_connections_reset_no_more_than_their_address_may(start: Start) -> None:
    address = await start("127.0.0.1:0", **STRICT)
    host, _, port = address.rpartition(":")
    codes = []
    for _ in range(CONNECTIONS):
        peer = RawPeer(*await asyncio.open_connection(host, int(port)))
        peer.send(http2.PREFACE, frames.settings({}))
        await rapid_resets(peer, 45)  # fewer than a connection may
        peer.send(frames.ping(b"all done"))
        kind, _, _, payload = await peer.until(http2.PING, http2.GOAWAY)
        codes.append(payload[4:8][-1] if kind == http2.GOAWAY else None)
        await peer.close()
    assert codes[:4] == [None] * 4
    assert codes[-1] == CALM


def widen_too_far(number: int) -> bytes:
    return frames.window_update(number, 2**31 - 1)


def send_headers_again(number: int) -> bytes:
    return headers(number, STREAM)


def send_after_the_end(number: int) -> bytes:
    return data(number, message(b"first"), 1) + data(number, message(b"second"), 1)


def send_no_message(number: int) -> bytes:
    return data(number, b"\x02\0\0\0\x01x")


@pytest.mark.parametrize(
    "violate", [widen_too_far, send_headers_again, send_after_the_end, send_no_message]
)
async def test_resets_that_the_peer_provokes_are_counted(start: Start, violate: object) -> None:
    assert callable(violate)
    peer = await RawPeer.dial(await start(**STRICT))
    calls = (headers(number, STREAM) + violate(number) for number in range(1, 1000, 2))
    assert await peer.flood(calls) in (CALM, -1)
    await peer.close()


async def test_a_client_that_cancels_half_of_its_calls_is_served(start: Start, dial: Dial) -> None:
    connection = await dial(await start(**STRICT))
    for _ in range(4 * STRICT["max_resets"]):
        slow = asyncio.ensure_future(connection.unary(SLOW, b"", timeout=TIMEOUT_SECONDS))
        assert await connection.unary(ECHO, b"alive", timeout=TIMEOUT_SECONDS) == b"alive"
        slow.cancel()
    assert await connection.unary(ECHO, b"alive", timeout=TIMEOUT_SECONDS) == b"alive"
