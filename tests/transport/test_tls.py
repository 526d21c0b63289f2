"""TLS at our ports: who gets in, and who does not."""

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

from tests.authority import Authority, hung_up
from tests.transport.conftest import Start
from tests.transport.encrypted import Listen, bare, echoed
from tests.transport.services import ECHO, STREAM, TIMEOUT_SECONDS, Seen, router
from transport import (
    ClientTls,
    Connection,
    KeyPair,
    RpcError,
    Server,
    ServerTls,
    StatusCode,
    TlsError,
    connect,
)

LARGE = 3 * 2**20


def stock(address: str, authority: Authority, pair: KeyPair | None = None) -> grpc.Channel:
    """Return grpcio's channel."""
    credentials = grpc.ssl_channel_credentials(
        authority.ca.read_bytes(),
        pair and pair.key.read_bytes(),
        pair and pair.certificate.read_bytes(),
    )
    return grpc.secure_channel(bare(address), credentials)


def called(channel: grpc.Channel, message: bytes = b"hello") -> bytes:
    """Return what the server says to grpcio."""
    with channel:
        answer: bytes = channel.unary_unary(ECHO)(message, timeout=TIMEOUT_SECONDS)
        return answer


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_messages_of_any_size_and_streams_go_through(
    authority: Authority, run: Callable[[object], None]
) -> None:
    async def talk() -> None:
        server = Server(router(Seen()))
        tls = ServerTls(authority.issue("server"))
        address = await server.listen("127.0.0.1:0", tls=tls)
        connection = await connect(f"grpcs://{address}", tls=ClientTls(ca=authority.ca))
        for size in (0, 1, 16_384, LARGE):
            assert await connection.unary(ECHO, b"x" * size, timeout=30) == b"x" * size
        many = [connection.unary(ECHO, b"%d" % n * 9000, timeout=30) for n in range(100)]
        assert await asyncio.gather(*many) == [b"%d" % n * 9000 for n in range(100)]
        await _stream(connection)
        connection.close()
        await server.drain(5)
        await hung_up()

    run(talk())


async def _stream(connection: Connection) -> None:
    """Send pieces of large messages, which are written in several parts, and get them back."""
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


async def test_grpcio_calls_with_a_certificate_and_without(
    authority: Authority, listen: Listen
) -> None:
    pair = authority.issue("server")
    plain = await listen(ServerTls(pair))
    assert await asyncio.to_thread(called, stock(plain, authority), b"y" * LARGE) == b"y" * LARGE
    mutual = await listen(ServerTls(pair, client_ca=authority.ca))
    client = authority.issue("client", "client")
    assert await asyncio.to_thread(called, stock(mutual, authority, client)) == b"hello"
    with pytest.raises(grpc.RpcError) as refused:
        await asyncio.to_thread(called, stock(mutual, authority))
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_nothing_older_than_tls_1_2_is_spoken_and_h2_is_chosen(
    authority: Authority, listen: Listen
) -> None:
    address = bare(await listen(ServerTls(authority.issue("server"))))
    host, _, port = address.rpartition(":")
    context = ssl.create_default_context(cafile=str(authority.ca))
    context.set_alpn_protocols(["h2", "http/1.1"])
    _, writer = await asyncio.open_connection(host, int(port), ssl=context)
    shaken = writer.get_extra_info("ssl_object")
    assert (shaken.selected_alpn_protocol(), shaken.version()) == ("h2", "TLSv1.3")
    writer.close()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = context.minimum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection(host, int(port), ssl=context)


async def test_a_server_of_an_unknown_authority_or_of_another_name_is_not_trusted(
    authority: Authority, stranger: Authority, listen: Listen
) -> None:
    address = await listen(ServerTls(authority.issue("server", "models.example")))
    assert await echoed(address, ClientTls(ca=authority.ca, server_name="models.example"))
    for tls in (
        ClientTls(ca=stranger.ca, server_name="models.example"),
        ClientTls(ca=authority.ca),
        ClientTls(server_name="models.example"),
    ):
        with pytest.raises(RpcError, match="certificate verify failed") as refused:
            await echoed(address, tls)
        assert refused.value.code is StatusCode.UNAVAILABLE


async def test_a_client_without_a_good_certificate_is_refused(
    authority: Authority, stranger: Authority, listen: Listen
) -> None:
    tls = ServerTls(authority.issue("server"), client_ca=authority.ca)
    address = await listen(tls)
    good = ClientTls(ca=authority.ca, pair=authority.issue("client", "client"))
    for pair in (
        None,
        stranger.issue("client", "client"),
        authority.issue("expired", "client", days=-1),
    ):
        with pytest.raises(RpcError, match="did it want a certificate"):
            await echoed(address, ClientTls(ca=authority.ca, pair=pair))
        assert await echoed(address, good) == b"hello"


async def test_who_speaks_no_tls_or_never_ends_the_handshake_is_cut_off_and_holds_up_nobody(
    authority: Authority, listen: Listen
) -> None:
    address = await listen(ServerTls(authority.issue("server")), handshake_seconds=0.3)
    host, _, port = bare(address).rpartition(":")
    silent = [await asyncio.open_connection(host, int(port)) for _ in range(20)]
    plain = await asyncio.open_connection(host, int(port))
    plain[1].write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    half = await asyncio.open_connection(host, int(port))
    half[1].write(b"\x16\x03\x01\x02\x00\x01")
    assert await echoed(address, ClientTls(ca=authority.ca)) == b"hello"
    with pytest.raises(RpcError):
        await connect(bare(address), timeout=5)
    async with asyncio.timeout(TIMEOUT_SECONDS):
        for reader, writer in (plain, half, *silent):
            with suppress(ConnectionError):
                await reader.read()
            writer.close()
    assert await echoed(address, ClientTls(ca=authority.ca)) == b"hello"


async def test_tls_at_a_plain_port_says_so(authority: Authority, start: Start) -> None:
    address = await start("127.0.0.1:0")
    with pytest.raises(RpcError, match="no connection to grpcs://") as refused:
        await echoed(f"grpcs://{address}", ClientTls(ca=authority.ca))
    assert refused.value.code is StatusCode.UNAVAILABLE
    plain = await connect(address)
    assert await plain.unary(ECHO, b"a", timeout=TIMEOUT_SECONDS) == b"a"
    plain.close()
    await hung_up()


def test_what_is_wrong_with_files_is_said_with_their_names(
    authority: Authority, stranger: Authority, tmp_path: Path
) -> None:
    pair, other = authority.issue("server"), stranger.issue("other")
    empty, missing = tmp_path / "empty.pem", tmp_path / "missing.pem"
    empty.touch()
    broken = tmp_path / "broken.pem"
    broken.write_text("-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n")
    for certificate, key, said in (
        (missing, pair.key, f"certificate {missing} cannot be read: No such file"),
        (pair.certificate, missing, f"private key {missing} cannot be read: No such file"),
        (empty, pair.key, f"certificate {empty}: expected PEM"),
        (pair.certificate, pair.certificate, "expected PEM with '-----BEGIN … PRIVATE KEY"),
        (pair.certificate, other.key, f"{other.key} belongs to another certificate"),
        (broken, pair.key, "are no certificate and private key"),
    ):
        with pytest.raises(TlsError) as caught:
            ServerTls(KeyPair(certificate=certificate, key=key))
        assert said in str(caught.value)
    for ca in (missing, empty, broken):
        with pytest.raises(TlsError, match="CA file"):
            ClientTls(ca=ca)


def test_a_listener_that_is_full_takes_no_more_with_tls_either(authority: Authority) -> None:
    async def talk() -> None:
        server = Server(router(Seen()), max_connections=1)
        address = await server.listen("127.0.0.1:0", tls=ServerTls(authority.issue("server")))
        client = ClientTls(ca=authority.ca)
        first = await connect(f"grpcs://{address}", tls=client)
        with pytest.raises(RpcError):
            await echoed(f"grpcs://{address}", client)
        assert await first.unary(ECHO, b"a", timeout=TIMEOUT_SECONDS) == b"a"
        first.close()
        server.close()

    uvloop.run(talk())


def test_a_socket_that_is_closed_in_the_handshake_costs_nothing(authority: Authority) -> None:
    async def talk() -> None:
        server = Server(router(Seen()))
        address = await server.listen("127.0.0.1:0", tls=ServerTls(authority.issue("server")))
        host, _, port = address.rpartition(":")
        for _ in range(50):
            with socket.create_connection((host, int(port))) as rude:
                rude.sendall(b"\x16\x03")
        assert await echoed(f"grpcs://{address}", ClientTls(ca=authority.ca)) == b"hello"
        assert len(server.links) <= 1
        server.close()

    uvloop.run(talk())
