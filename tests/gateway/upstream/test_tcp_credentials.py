"""A Link to a server on another machine: which address it takes, and what it shows there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.settings import Settings
from gateway.upstream.connector import ServerConnector
from gateway.upstream.credentials import UpstreamCredentials
from tests.authority import Authority, replace_file
from tests.gateway.upstream.conftest import LIMIT, soon
from tests.inference_server.conftest import StartServer
from transport import TlsError

pytestmark = pytest.mark.processes

TOKEN = "a-token-of-32-characters-or-more"
OLD = "an-old-token-that-is-not-taken-any-more"

Reach = Callable[..., asyncio.Event]


@pytest_asyncio.fixture
async def reach() -> AsyncIterator[Reach]:
    """Return an event that is set when a link to one of the addresses is up."""
    links: list[ServerConnector] = []

    def linked(*addresses: str, credentials: UpstreamCredentials | None = None) -> asyncio.Event:
        up = asyncio.Event()
        links.append(
            ServerConnector(
                "mlp",
                1,
                *addresses,
                max_message_bytes=LIMIT,
                on_change=up.set,
                credentials=credentials,
            )
        )
        return up

    yield linked
    for link in links:
        await soon(link.close(0))


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    file = tmp_path / "tokens"
    replace_file(file, TOKEN.encode())
    return file


async def test_the_socket_comes_first_and_takes_no_token(
    start_server: StartServer, tokens: Path, reach: Reach
) -> None:
    server = start_server("mlp", "--tcp", "127.0.0.1:0", "--token-file", str(tokens))
    await soon(reach(server.address, server.tcp_address).wait())


async def test_without_the_socket_it_is_tcp_with_the_newest_token(
    start_server: StartServer, tokens: Path, tmp_path: Path, reach: Reach
) -> None:
    server = start_server("mlp", "--tcp", "127.0.0.1:0", "--token-file", str(tokens))
    shown = tmp_path / "shown"
    replace_file(shown, OLD.encode())
    credentials = UpstreamCredentials.from_settings(Settings(upstream_token_file=shown))
    up = reach(f"unix:{tmp_path}/none.sock", server.tcp_address, credentials=credentials)
    await asyncio.sleep(0.5)
    assert not up.is_set()
    replace_file(shown, f"{TOKEN}\n{OLD}\n".encode())
    await soon(up.wait())


async def test_with_tls_it_shows_its_certificate(
    start_server: StartServer, tmp_path: Path, reach: Reach
) -> None:
    authority = Authority(tmp_path / "ours")
    pair, own = authority.issue("server"), authority.issue("gateway", "gateway")
    options = ["--tls-certificate", str(pair.certificate), "--tls-key", str(pair.key)]
    server = start_server(
        "mlp", "--tcp", "127.0.0.1:0", *options, "--tls-client-ca", str(authority.ca)
    )
    settings = Settings(
        upstream_tls_ca=authority.ca,
        upstream_tls_certificate=own.certificate,
        upstream_tls_key=own.key,
    )
    await soon(
        reach(server.tcp_address, credentials=UpstreamCredentials.from_settings(settings)).wait()
    )


def test_credentials_that_cannot_be_used_are_refused_by_name(tmp_path: Path) -> None:
    own = Authority(tmp_path / "ours").issue("gateway", "gateway")
    with pytest.raises(TlsError, match="SLIPSTREAM_UPSTREAM_TLS_KEY is not"):
        UpstreamCredentials.from_settings(Settings(upstream_tls_certificate=own.certificate))
    with pytest.raises(TlsError, match=r"missing\.pem cannot be read"):
        UpstreamCredentials.from_settings(Settings(upstream_tls_ca=tmp_path / "missing.pem"))
