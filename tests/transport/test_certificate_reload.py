"""Certificates and CAs that change while the server runs."""

from __future__ import annotations

import asyncio
import ssl

import pytest

from tests.authority import Authority, replace_file
from tests.timing import TIMEOUT_SECONDS
from tests.transport.services import ECHO, Listen, echo_once, without_scheme
from transport import ClientTls, RpcError, ServerTls, connect
from transport.tls import reload_on_change


async def serial_of(address: str, authority: Authority) -> str:
    """Return the serial number of the certificate that a new connection gets."""
    context = ssl.create_default_context(cafile=str(authority.ca))
    host, _, port = without_scheme(address).rpartition(":")
    _, writer = await asyncio.open_connection(host, int(port), ssl=context)
    serial: str = writer.get_extra_info("peercert")["serialNumber"]
    writer.close()
    return serial


async def test_new_connections_get_the_new_certificate(
    authority: Authority, listen: Listen
) -> None:
    tls = ServerTls(authority.issue("server"))
    address = await listen(tls)
    old = await connect(address, tls=ClientTls(ca=authority.ca))
    before = await serial_of(address, authority)
    assert not tls.reload()
    authority.issue("server")
    assert tls.reload()
    after = await serial_of(address, authority)
    assert after != before
    assert await serial_of(address, authority) == after
    assert await old.unary(ECHO, b"still", timeout=TIMEOUT_SECONDS) == b"still"
    old.close()


async def test_an_unusable_new_pair_changes_nothing_and_is_reported_once(
    authority: Authority,
    other_authority: Authority,
    listen: Listen,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("transport.tls._CHECK_SECONDS", 0.05)
    pair = authority.issue("server")
    good = pair.key.read_bytes()
    tls = ServerTls(pair)
    address = await listen(tls)
    before = await serial_of(address, authority)
    reported: asyncio.Queue[str] = asyncio.Queue()
    reloading = asyncio.create_task(reload_on_change((tls, tls), reported.put_nowait))
    replace_file(pair.key, other_authority.issue("other").key.read_bytes())
    async with asyncio.timeout(TIMEOUT_SECONDS):
        assert "belongs to another certificate" in await reported.get()
    assert await serial_of(address, authority) == before
    await asyncio.sleep(0.3)  # several intervals of checks
    replace_file(pair.key, good)
    async with asyncio.timeout(TIMEOUT_SECONDS):
        assert await reported.get() == ""
    assert reported.empty()
    assert await serial_of(address, authority) == before
    reloading.cancel()


async def test_clients_of_a_removed_ca_are_rejected(
    authority: Authority, other_authority: Authority, listen: Listen
) -> None:
    trusted = authority.ca.with_name("clients.pem")
    replace_file(trusted, other_authority.ca.read_bytes())
    tls = ServerTls(authority.issue("server"), client_ca=trusted)
    address = await listen(tls)
    client = ClientTls(ca=authority.ca, pair=other_authority.issue("client", "client"))
    assert await echo_once(address, client) == b"hello"
    replace_file(trusted, authority.ca.read_bytes())
    assert tls.reload()
    with pytest.raises(RpcError, match="require a client certificate"):
        await echo_once(address, client)


async def test_a_client_uses_new_files_from_its_next_connection_on(
    authority: Authority, other_authority: Authority, listen: Listen
) -> None:
    address = await listen(ServerTls(authority.issue("server")))
    trusted = authority.ca.with_name("servers.pem")
    replace_file(trusted, other_authority.ca.read_bytes())
    reported: list[str] = []
    client = ClientTls(ca=trusted, on_reload=reported.append)
    with pytest.raises(RpcError):
        await echo_once(address, client)
    replace_file(trusted, b"half a file")
    with pytest.raises(RpcError):
        await echo_once(address, client)
    replace_file(trusted, authority.ca.read_bytes())
    assert await echo_once(address, client) == b"hello"
    assert len(reported) == 2
    assert "expected PEM" in reported[0]
    assert reported[1] == ""


async def test_reloads_under_load_lose_no_call(authority: Authority, listen: Listen) -> None:
    tls = ServerTls(authority.issue("server"))
    address = await listen(tls)
    over = False
    answered = 0

    async def keep_calling() -> None:
        nonlocal answered
        client = ClientTls(ca=authority.ca)
        while not over:
            assert await echo_once(address, client, b"z" * 20_000) == b"z" * 20_000
            answered += 1

    callers = [asyncio.create_task(keep_calling()) for _ in range(8)]
    for _ in range(20):
        authority.issue("server")
        await asyncio.to_thread(tls.reload)
        await asyncio.sleep(0.05)
    over = True
    await asyncio.gather(*callers)
    assert answered > 20
