"""TLS between our client, our server and grpcio."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import grpc
import pytest
import uvloop

from tests.authority import Authority
from tests.timing import TIMEOUT_SECONDS
from tests.transport.conftest import Start
from tests.transport.services import (
    ECHO,
    STREAM,
    HandlerLog,
    Listen,
    echo_once,
    router,
    without_scheme,
)
from transport import (
    ClientTls,
    GrpcConnection,
    GrpcServer,
    KeyPair,
    RpcError,
    ServerTls,
    StatusCode,
    TlsError,
    connect,
)

LARGE = 3 * 2**20


def grpcio_channel(address: str, authority: Authority, pair: KeyPair | None = None) -> grpc.Channel:
    """Return a secure grpcio channel."""
    credentials = grpc.ssl_channel_credentials(
        authority.ca.read_bytes(),
        pair and pair.key.read_bytes(),
        pair and pair.certificate.read_bytes(),
    )
    return grpc.secure_channel(without_scheme(address), credentials)


def call(channel: grpc.Channel, message: bytes = b"hello") -> bytes:
    """Return the answer to one call by grpcio."""
    with channel:
        answer: bytes = channel.unary_unary(ECHO)(message, timeout=TIMEOUT_SECONDS)
        return answer


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_messages_of_any_size_and_streams_work_over_tls(
    authority: Authority, run: Callable[[object], None]
) -> None:
    async def scenario() -> None:
        server = GrpcServer(router(HandlerLog()))
        tls = ServerTls(authority.issue("server"))
        address = await server.listen("127.0.0.1:0", tls=tls)
        connection = await connect(f"grpcs://{address}", tls=ClientTls(ca=authority.ca))
        for size in (0, 1, 16_384, LARGE):
            assert await connection.unary(ECHO, b"x" * size, timeout=TIMEOUT_SECONDS) == b"x" * size
        many = [
            connection.unary(ECHO, b"%d" % n * 9000, timeout=TIMEOUT_SECONDS) for n in range(100)
        ]
        assert await asyncio.gather(*many) == [b"%d" % n * 9000 for n in range(100)]
        await _stream(connection)
        connection.close()
        await connection.wait_closed()
        await server.drain(5)

    run(scenario())


async def _stream(connection: GrpcConnection) -> None:
    """Send large messages in pieces, which are written in several parts, and get them back."""
    answers: list[bytes] = []
    over = asyncio.Event()
    stream = connection.open_stream(
        STREAM, on_message=answers.append, on_end=lambda _: over.set(), timeout=30
    )
    pieces = [memoryview(bytes([n]) * LARGE) for n in range(4)]
    stream.send_pieces(pieces[:2])
    stream.send_pieces(pieces[2:])
    stream.half_close()
    await over.wait()
    assert answers == [bytes(pieces[0]) + bytes(pieces[1]), bytes(pieces[2]) + bytes(pieces[3])]


async def test_grpcio_calls_with_and_without_a_client_certificate(
    authority: Authority, listen: Listen
) -> None:
    pair = authority.issue("server")
    plain = await listen(ServerTls(pair))
    assert (
        await asyncio.to_thread(call, grpcio_channel(plain, authority), b"y" * LARGE)
        == b"y" * LARGE
    )
    mutual = await listen(ServerTls(pair, client_ca=authority.ca))
    client = authority.issue("client", "client")
    assert await asyncio.to_thread(call, grpcio_channel(mutual, authority, client)) == b"hello"
    with pytest.raises(grpc.RpcError) as refused:
        await asyncio.to_thread(call, grpcio_channel(mutual, authority))
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_tls_below_1_2_is_refused_and_alpn_selects_h2(
    authority: Authority, listen: Listen
) -> None:
    address = without_scheme(await listen(ServerTls(authority.issue("server"))))
    host, _, port = address.rpartition(":")
    context = ssl.create_default_context(cafile=str(authority.ca))
    context.set_alpn_protocols(["h2", "http/1.1"])
    _, writer = await asyncio.open_connection(host, int(port), ssl=context)
    ssl_object = writer.get_extra_info("ssl_object")
    assert (ssl_object.selected_alpn_protocol(), ssl_object.version()) == ("h2", "TLSv1.3")
    writer.close()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = context.minimum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection(host, int(port), ssl=context)


async def test_a_server_with_an_unknown_ca_or_another_name_is_rejected(
    authority: Authority, other_authority: Authority, listen: Listen
) -> None:
    address = await listen(ServerTls(authority.issue("server", "models.example")))
    assert await echo_once(address, ClientTls(ca=authority.ca, server_name="models.example"))
    for tls in (
        ClientTls(ca=other_authority.ca, server_name="models.example"),
        ClientTls(ca=authority.ca),
        ClientTls(server_name="models.example"),
    ):
        with pytest.raises(RpcError, match="certificate verify failed") as refused:
            await echo_once(address, tls)
        assert refused.value.code is StatusCode.UNAVAILABLE


async def test_a_client_without_a_valid_certificate_is_rejected(
    authority: Authority, other_authority: Authority, listen: Listen
) -> None:
    tls = ServerTls(authority.issue("server"), client_ca=authority.ca)
    address = await listen(tls)
    good = ClientTls(ca=authority.ca, pair=authority.issue("client", "client"))
    for pair in (
        None,
        other_authority.issue("client", "client"),
        authority.issue("expired", "client", days=-1),
    ):
        with pytest.raises(RpcError, match="require a client certificate"):
            await echo_once(address, ClientTls(ca=authority.ca, pair=pair))
        assert await echo_once(address, good) == b"hello"


async def test_clients_that_never_finish_the_handshake_are_disconnected_and_delay_no_other(
    authority: Authority, listen: Listen
) -> None:
    address = await listen(ServerTls(authority.issue("server")), handshake_seconds=0.3)
    host, _, port = without_scheme(address).rpartition(":")
    silent = [await asyncio.open_connection(host, int(port)) for _ in range(20)]
    plain = await asyncio.open_connection(host, int(port))
    plain[1].write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    half = await asyncio.open_connection(host, int(port))
    half[1].write(b"\x16\x03\x01\x02\x00\x01")
    assert await echo_once(address, ClientTls(ca=authority.ca)) == b"hello"
    with pytest.raises(RpcError):
        await connect(without_scheme(address), timeout=TIMEOUT_SECONDS)
    async with asyncio.timeout(TIMEOUT_SECONDS):
        for reader, writer in (plain, half, *silent):
            with suppress(ConnectionError):
                await reader.read()
            writer.close()
    assert await echo_once(address, ClientTls(ca=authority.ca)) == b"hello"


async def test_tls_to_a_plaintext_port_fails_with_the_address(
    authority: Authority, start: Start
) -> None:
    address = await start("127.0.0.1:0")
    with pytest.raises(RpcError, match="no connection to grpcs://") as refused:
        await echo_once(f"grpcs://{address}", ClientTls(ca=authority.ca))
    assert refused.value.code is StatusCode.UNAVAILABLE
    plain = await connect(address)
    assert await plain.unary(ECHO, b"a", timeout=TIMEOUT_SECONDS) == b"a"
    plain.close()
    await plain.wait_closed()


def test_unusable_files_are_named(
    authority: Authority, other_authority: Authority, tmp_path: Path
) -> None:
    pair, other = authority.issue("server"), other_authority.issue("other")
    empty, missing = tmp_path / "empty.pem", tmp_path / "missing.pem"
    empty.touch()
    broken = tmp_path / "broken.pem"
    broken.write_text("-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n")
    for certificate, key, message in (
        (missing, pair.key, f"certificate {missing} cannot be read: No such file"),
        (pair.certificate, missing, f"private key {missing} cannot be read: No such file"),
        (empty, pair.key, f"certificate {empty}: expected PEM"),
        (pair.certificate, pair.certificate, "expected PEM with '-----BEGIN … PRIVATE KEY"),
        (pair.certificate, other.key, f"{other.key} belongs to another certificate"),
        (broken, pair.key, "expected a certificate and a private key in PEM"),
    ):
        with pytest.raises(TlsError) as caught:
            ServerTls(KeyPair(certificate=certificate, key=key))
        assert message in str(caught.value)
    for ca in (missing, empty, broken):
        with pytest.raises(TlsError, match="CA bundle"):
            ClientTls(ca=ca)


def test_the_connection_limit_applies_to_tls(authority: Authority) -> None:
    async def scenario() -> None:
        server = GrpcServer(router(HandlerLog()), max_connections=1)
        address = await server.listen("127.0.0.1:0", tls=ServerTls(authority.issue("server")))
        client = ClientTls(ca=authority.ca)
        first = await connect(f"grpcs://{address}", tls=client)
        with pytest.raises(RpcError):
            await echo_once(f"grpcs://{address}", client)
        assert await first.unary(ECHO, b"a", timeout=TIMEOUT_SECONDS) == b"a"
        first.close()
        server.close()

    uvloop.run(scenario())


def test_a_client_that_disconnects_in_the_handshake_leaves_nothing_behind(
    authority: Authority,
) -> None:
    async def scenario() -> None:
        server = GrpcServer(router(HandlerLog()))
        address = await server.listen("127.0.0.1:0", tls=ServerTls(authority.issue("server")))
        host, _, port = address.rpartition(":")
        for _ in range(50):
            with socket.create_connection((host, int(port))) as rude:
                rude.sendall(b"\x16\x03")
        assert await echo_once(f"grpcs://{address}", ClientTls(ca=authority.ca)) == b"hello"
        assert len(server.connections) <= 1
        server.close()

    uvloop.run(scenario())
