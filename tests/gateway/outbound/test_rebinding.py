"""The guard against a hostile DNS server: DNS rebinding, and blocked addresses in answers."""

from __future__ import annotations

import asyncio
from ipaddress import ip_network

import pytest

from gateway.errors import GatewayError
from gateway.outbound.http import GuardedHttpClient
from gateway.outbound.messages import OutboundRequest, OutboundResponse
from protos.errors import ErrorCode
from tests.gateway.outbound.dns import hostile_dns
from tests.gateway.outbound.servers import plain, serving

PUBLIC = "93.184.216.34"
EVERYTHING = [ip_network("0.0.0.0/0"), ip_network("::/0")]
LOOPBACK = [ip_network("127.0.0.0/8")]


async def send(http: GuardedHttpClient, url: str) -> OutboundResponse:
    call = OutboundRequest(method="POST", url=url, headers={}, body=b"{}", max_bytes=1000)
    return await http.send(call, asyncio.get_running_loop().time() + 5.0)


async def test_a_name_rebound_from_public_to_private_is_refused() -> None:
    async with (
        serving(plain("the keys")) as inside,
        hostile_dns([PUBLIC], ["127.0.0.1"]) as (server, resolver),
        GuardedHttpClient(resolver=resolver, allow_http=True) as http,
    ):
        await http.check("https://hostile.example/hook")
        with pytest.raises(GatewayError) as caught:
            await send(http, f"http://hostile.example:{inside.port}/hook")
    assert caught.value.code is ErrorCode.BLOCKED_TARGET
    assert not inside.heads
    assert server.questions == ["hostile.example. A", "hostile.example. AAAA"] * 2


async def test_the_address_that_was_checked_is_the_one_connected_to() -> None:
    async with (
        serving(plain("yes")) as outside,
        hostile_dns(["127.0.0.1"], ["169.254.169.254"]) as (server, resolver),
        GuardedHttpClient(LOOPBACK, resolver=resolver, allow_http=True) as http,
    ):
        reply = await send(http, f"http://hostile.example:{outside.port}/")
        assert reply.body == b"yes"
        assert len(server.questions) == 2  # A and AAAA, once: no second look-up before connecting
        with pytest.raises(GatewayError) as caught:
            await send(http, f"http://hostile.example:{outside.port}/")
    assert caught.value.code is ErrorCode.BLOCKED_TARGET


@pytest.mark.parametrize(
    "answer",
    [
        [PUBLIC, "10.0.0.1"],
        [PUBLIC, "::1"],
        [PUBLIC, "fd12::1"],
        ["::ffff:127.0.0.1"],
        ["::127.0.0.1"],
        ["64:ff9b::7f00:1"],
        ["64:ff9b:1::a00:1"],
        ["2002:7f00:1::"],
        ["2001:0:4136:e378:8000:63bf:80ff:fffe"],
        ["fe80::1"],
        ["ff02::1"],
        ["0.0.0.0"],
        ["::"],
    ],
)
async def test_one_blocked_address_of_either_family_blocks_the_name(
    answer: list[str],
) -> None:
    async with (
        hostile_dns(answer) as (_, resolver),
        GuardedHttpClient(resolver=resolver, allow_http=True) as http,
    ):
        with pytest.raises(GatewayError) as caught:
            await send(http, "http://hostile.example/")
    assert caught.value.code is ErrorCode.BLOCKED_TARGET


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "100.100.100.200", "fd00:ec2::254", "::ffff:169.254.169.254"],
)
async def test_cloud_metadata_is_blocked_by_name_even_if_everything_is_allowed(
    address: str,
) -> None:
    async with (
        hostile_dns([address]) as (_, resolver),
        GuardedHttpClient(EVERYTHING, resolver=resolver, allow_http=True) as http,
    ):
        with pytest.raises(GatewayError) as caught:
            await send(http, "http://hostile.example/latest/meta-data/")
    assert caught.value.code is ErrorCode.BLOCKED_TARGET
    assert "credentials" in caught.value.message


async def test_a_redirect_to_cloud_metadata_is_returned_and_not_followed() -> None:
    moved = plain("", status="307 Temporary", headers="location: http://169.254.169.254/\r\n")
    async with (
        serving(moved) as outside,
        hostile_dns(["127.0.0.1"]) as (server, resolver),
        GuardedHttpClient(LOOPBACK, resolver=resolver, allow_http=True) as http,
    ):
        assert (await send(http, f"http://hostile.example:{outside.port}/")).status == 307
        assert len(server.questions) == 2
        assert len(outside.heads) == 1
