"""Certificates and authorities that change while the server runs."""

from __future__ import annotations

import asyncio
import ssl

import pytest

from tests.authority import Authority, put
from tests.transport.encrypted import Listen, bare, echoed
from tests.transport.services import ECHO, TIMEOUT_SECONDS
from transport import ClientTls, RpcError, ServerTls, connect
from transport.tls import keep_renewed


async def serial_of(address: str, authority: Authority) -> str:
    """Return the serial number of the certificate that a new connection is shown."""
    context = ssl.create_default_context(cafile=str(authority.ca))
    host, _, port = bare(address).rpartition(":")
    _, writer = await asyncio.open_connection(host, int(port), ssl=context)
    shown: str = writer.get_extra_info("peercert")["serialNumber"]
    writer.close()
    return shown


async def test_a_new_certificate_is_shown_from_the_next_connection_on(
    authority: Authority, listen: Listen
) -> None:
    tls = ServerTls(authority.issue("server"))
    address = await listen(tls)
    old = await connect(address, tls=ClientTls(ca=authority.ca))
    before = await serial_of(address, authority)
    assert not tls.renew()
    authority.issue("server")
    assert tls.renew()
    after = await serial_of(address, authority)
    assert after != before
    assert await serial_of(address, authority) == after
    assert await old.unary(ECHO, b"still", timeout=TIMEOUT_SECONDS) == b"still"
    old.close()


async def test_a_bad_new_pair_changes_nothing_and_is_told_once(
    authority: Authority, stranger: Authority, listen: Listen
) -> None:
    pair = authority.issue("server")
    good = pair.key.read_bytes()
    tls = ServerTls(pair)
    address = await listen(tls)
    before = await serial_of(address, authority)
    told: asyncio.Queue[str] = asyncio.Queue()
    renewing = asyncio.create_task(keep_renewed((tls, tls), told.put_nowait))
    put(pair.key, stranger.issue("other").key.read_bytes())
    async with asyncio.timeout(TIMEOUT_SECONDS):
        assert "belongs to another certificate" in await told.get()
    assert await serial_of(address, authority) == before
    await asyncio.sleep(2.5)  # longer than it takes to look again
    put(pair.key, good)
    async with asyncio.timeout(TIMEOUT_SECONDS):
        assert await told.get() == ""
    assert told.empty()
    assert await serial_of(address, authority) == before
    renewing.cancel()


async def test_an_authority_that_was_taken_back_lets_nobody_in_any_more(
    authority: Authority, stranger: Authority, listen: Listen
) -> None:
    trusted = authority.ca.with_name("clients.pem")
    put(trusted, stranger.ca.read_bytes())
    tls = ServerTls(authority.issue("server"), client_ca=trusted)
    address = await listen(tls)
    client = ClientTls(ca=authority.ca, pair=stranger.issue("client", "client"))
    assert await echoed(address, client) == b"hello"
    put(trusted, authority.ca.read_bytes())
    assert tls.renew()
    with pytest.raises(RpcError, match="did it want a certificate"):
        await echoed(address, client)


async def test_a_client_takes_over_its_new_files_at_its_next_connection(
    authority: Authority, stranger: Authority, listen: Listen
) -> None:
    address = await listen(ServerTls(authority.issue("server")))
    trusted = authority.ca.with_name("servers.pem")
    put(trusted, stranger.ca.read_bytes())
    told: list[str] = []
    client = ClientTls(ca=trusted, on_renewal=told.append)
    with pytest.raises(RpcError):
        await echoed(address, client)
    put(trusted, b"half a file")
    with pytest.raises(RpcError):
        await echoed(address, client)
    put(trusted, authority.ca.read_bytes())
    assert await echoed(address, client) == b"hello"
    assert len(told) == 2
    assert "expected PEM" in told[0]
    assert told[1] == ""


async def test_renewals_under_load_lose_no_call(authority: Authority, listen: Listen) -> None:
    tls = ServerTls(authority.issue("server"))
    address = await listen(tls)
    over = False
    answered = 0

    async def keep_calling() -> None:
        nonlocal answered
        client = ClientTls(ca=authority.ca)
        while not over:
            assert await echoed(address, client, b"z" * 20_000) == b"z" * 20_000
            answered += 1

    callers = [asyncio.create_task(keep_calling()) for _ in range(8)]
    for _ in range(20):
        authority.issue("server")
        await asyncio.to_thread(tls.renew)
        await asyncio.sleep(0.05)
    over = True
    await asyncio.gather(*callers)
    assert answered > 20
