"""TLS and tokens of the TCP ports."""

from __future__ import annotations

import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import grpc
import httpx
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tritonclient import grpc as triton

from inference_server import settings
from inference_server.tcp_security import advertised_address
from protos import open_inference_pb2 as pb
from telemetry.options import OptionsError
from tests.authority import Authority, replace_file
from tests.inference_server.conftest import StartServer
from tests.inference_server.process import InferenceProcess
from tests.stub import InferenceStub
from tests.timing import TIMEOUT_SECONDS, eventually

NEEDED = ["--store", "models", "--model", "iris", "--version", "3", "--socket", "iris.sock"]
ANYWHERE = "0.0.0.0:0"
PAIR = ["--tls-certificate", "c.pem", "--tls-key", "k.pem"]
TOKEN, OTHER = "a-token-of-32-characters-or-more", "another-token-of-enough-characters"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ours")


@pytest.fixture
def mutual(authority: Authority) -> list[str]:
    """Options for mutual TLS at both ports, on all addresses of this machine."""
    pair = authority.issue("server")
    words = ["--tcp", ANYWHERE, "--metrics", ANYWHERE, "--advertise", "127.0.0.1"]
    words += ["--tls-certificate", str(pair.certificate), "--tls-key", str(pair.key)]
    return [*words, "--tls-client-ca", str(authority.ca)]


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    file = tmp_path / "tokens"
    replace_file(file, f"{TOKEN}\n".encode())
    return file


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "0:0:0:0:0:0:0:0"])
def test_a_server_on_all_addresses_is_advertised_by_the_name_of_its_machine(host: str) -> None:
    advertised = advertised_address(settings.TcpAddress(host, 80), settings.read(NEEDED))
    assert advertised == settings.TcpAddress(socket.gethostname(), 80)


@pytest.mark.parametrize("option", ["--tcp", "--metrics"])
@pytest.mark.parametrize("address", [ANYWHERE, "[::]:0", "192.0.2.1:80", "models.internal:80"])
@pytest.mark.parametrize("half", [[], PAIR], ids=["open", "without client certificates"])
def test_a_reachable_port_requires_mutual_tls_or_a_token(
    option: str, address: str, half: Sequence[str]
) -> None:
    with pytest.raises(OptionsError, match=r"other machines reach this.*--token-file"):
        settings.check([*NEEDED, option, address, *half])
    settings.check([*NEEDED, option, address, *PAIR, "--tls-client-ca", "ca.pem"])
    settings.check([*NEEDED, option, address, *half, "--token-file", "tokens"])


@pytest.mark.parametrize("address", ["127.0.0.1:0", "127.0.0.2:0", "[::1]:0", "localhost:0"])
def test_a_port_on_loopback_requires_neither(address: str) -> None:
    settings.check([*NEEDED, "--tcp", address, "--metrics", address])


@pytest.mark.parametrize(
    ("half", "said"),
    [
        (PAIR[:2], "--tls-certificate is given and --tls-key is not"),
        (PAIR[2:], "--tls-key is given and --tls-certificate is not"),
        (["--tls-client-ca", "ca.pem"], "--tls-client-ca is given without"),
    ],
)
def test_incomplete_tls_options_are_refused(half: Sequence[str], said: str) -> None:
    with pytest.raises(OptionsError, match=said):
        settings.check([*NEEDED, *half])


@pytest.mark.parametrize("content", [None, b"", b"short\n"], ids=str)
def test_a_token_file_without_tokens_is_refused(
    start_server: StartServer, tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "tokens"
    if content is not None:
        file.write_bytes(content)
    server = start_server("mlp", "--tcp", ANYWHERE, "--token-file", str(file), until="failed")
    assert str(file) in server.events[-1]["message"]
    assert server.ended() == 1


def test_invalid_tls_files_are_named(start_server: StartServer, authority: Authority) -> None:
    pair = authority.issue("server")
    options = ["--tls-certificate", str(pair.certificate), "--tls-key", str(pair.certificate)]
    server = start_server("mlp", "--tcp", "127.0.0.1:0", *options, until="failed")
    assert f"the private key {pair.certificate}: expected PEM" in server.events[-1]["message"]
    assert server.ended() == 1


def address_of(server: InferenceProcess) -> str:
    """Return where other machines reach it."""
    scheme, _, address = server.tcp_address.rpartition("://")
    assert scheme in {"", "grpcs"}
    assert address.startswith("127.0.0.1:")
    return address


def client_credentials(authority: Authority) -> grpc.ChannelCredentials:
    pair = authority.issue("client", "gateway")
    return grpc.ssl_channel_credentials(
        authority.ca.read_bytes(), pair.key.read_bytes(), pair.certificate.read_bytes()
    )


def test_stock_clients_need_a_client_certificate(
    start_server: StartServer, authority: Authority, mutual: list[str]
) -> None:
    server = start_server("mlp", *mutual)
    address = address_of(server)
    with grpc.secure_channel(address, client_credentials(authority)) as channel:
        assert channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=TIMEOUT_SECONDS)
    pair = authority.issue("client", "gateway")
    client = triton.InferenceServerClient(
        address,
        ssl=True,
        root_certificates=str(authority.ca),
        private_key=str(pair.key),
        certificate_chain=str(pair.certificate),
    )
    batch = triton.InferInput("x", [2, 4], "FP32")
    batch.set_data_from_numpy(np.ones((2, 4), np.float32))
    for _ in range(20):  # a tight loop: with TLS the server does not poll
        assert client.infer("mlp", [batch]).as_numpy("y").shape[0] == 2
    client.close()
    anonymous = grpc.ssl_channel_credentials(authority.ca.read_bytes())
    with grpc.secure_channel(address, anonymous) as channel, pytest.raises(grpc.RpcError):
        channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=TIMEOUT_SECONDS)
    with grpc.insecure_channel(server.address) as channel:  # the Unix socket needs no certificate
        assert channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=TIMEOUT_SECONDS)


def test_metrics_require_a_client_certificate(
    start_server: StartServer, authority: Authority, mutual: list[str]
) -> None:
    server = start_server("mlp", *mutual)
    url = str(server.events[0]["metrics_address"]) + "/metrics"
    assert url.startswith("https://127.0.0.1:")
    context = ssl.create_default_context(cafile=str(authority.ca))
    with pytest.raises((urllib.error.URLError, ssl.SSLError, ConnectionError)):
        urllib.request.urlopen(url, context=context, timeout=TIMEOUT_SECONDS)
    pair = authority.issue("client", "prometheus")
    context.load_cert_chain(pair.certificate, pair.key)
    with urllib.request.urlopen(url, context=context, timeout=TIMEOUT_SECONDS) as answer:
        assert b"inference_" in answer.read()


def ready(address: str, *headers: tuple[str, str]) -> bool:
    """Call ModelReady over TCP; raise RpcError if it is refused."""
    with grpc.insecure_channel(address) as channel:
        question = pb.ModelReadyRequest(name="mlp", version="1").SerializeToString()
        raw = channel.unary_unary("/inference.GRPCInferenceService/ModelReady")(
            question, timeout=TIMEOUT_SECONDS, metadata=headers
        )
    return pb.ModelReadyResponse.FromString(raw).ready


def bearer(token: str) -> tuple[str, str]:
    return ("authorization", f"Bearer {token}")


def test_every_call_but_health_checks_requires_a_token(
    start_server: StartServer, tokens: Path
) -> None:
    server = start_server("mlp", "--tcp", "127.0.0.1:0", "--token-file", str(tokens))
    address = address_of(server)
    assert ready(address, bearer(TOKEN))
    assert ready(address, ("authorization", f"bearer {TOKEN}"))
    for wrong in ((), (bearer(OTHER),), (bearer(TOKEN[:-1]),), (("authorization", TOKEN),)):
        with pytest.raises(grpc.RpcError) as refused:
            ready(address, *wrong)
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert "--token-file" in (refused.value.details() or "")
        assert TOKEN not in (refused.value.details() or "")
    with grpc.insecure_channel(address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        assert health.Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_SECONDS).status == 1
        for method in server_methods():
            with pytest.raises(grpc.RpcError) as refused:
                list(channel.stream_stream(method)(iter([b""]), timeout=TIMEOUT_SECONDS))
            assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    with grpc.insecure_channel(server.address) as channel:
        asked = pb.ServerLiveRequest().SerializeToString()
        assert channel.unary_unary("/inference.GRPCInferenceService/ServerLive")(
            asked, timeout=TIMEOUT_SECONDS
        )
    assert TOKEN not in server.log()


def server_methods() -> list[str]:
    """Return every method but those of the health service, and one that does not exist."""
    service = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    reflection = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
    own = [f"/{service.full_name}/{method.name}" for method in service.methods]
    return [*own, reflection, "/no.Such/Method"]


@pytest.mark.long
def test_tokens_rotate_without_a_restart(start_server: StartServer, tokens: Path) -> None:
    server = start_server("mlp", "--tcp", "127.0.0.1:0", "--token-file", str(tokens))
    address = address_of(server)

    def accepted(token: str) -> bool:
        try:
            return ready(address, bearer(token))
        except grpc.RpcError:
            return False

    replace_file(tokens, f"{OTHER}\n{TOKEN}\n".encode())
    eventually(lambda: accepted(OTHER), bool)
    assert accepted(TOKEN)
    replace_file(tokens, b"short")
    eventually(server.log, lambda log: "tokens_reload_failed" in log)
    assert accepted(OTHER)
    replace_file(tokens, f"{OTHER}\n".encode())
    eventually(lambda: accepted(TOKEN), lambda yes: not yes)
    assert accepted(OTHER)


def test_metrics_require_a_token(start_server: StartServer, tokens: Path) -> None:
    server = start_server("mlp", "--token-file", str(tokens))
    for headers, status in (
        ({}, 401),
        ({"Authorization": f"Bearer {OTHER}"}, 401),
        ({"Authorization": f"Bearer {TOKEN}"}, 200),
    ):
        answer = httpx.get(server.metrics_url, headers=headers)
        assert answer.status_code == status
        assert (b"inference_" in answer.content) == (status == 200)
    probe = httpx.get(server.metrics_url.replace("/metrics", "/readyz"))
    assert probe.status_code == 200, "probes need none"


async def test_a_renewed_certificate_is_used_without_a_restart(
    start_server: StartServer, authority: Authority, mutual: list[str]
) -> None:
    server = start_server("mlp", *mutual)
    address, credentials = address_of(server), client_credentials(authority)
    async with grpc.aio.secure_channel(address, credentials) as channel:
        assert (await InferenceStub(channel).ServerLive(pb.ServerLiveRequest())).live
        before = presented_certificate(address, authority)
        authority.issue("server")
        eventually(lambda: presented_certificate(address, authority), lambda after: after != before)
        assert (await InferenceStub(channel).ServerLive(pb.ServerLiveRequest())).live


def presented_certificate(address: str, authority: Authority) -> str:
    """Return the certificate that the server presents to a new connection."""
    host, _, port = address.rpartition(":")
    return ssl.get_server_certificate((host, int(port)), ca_certs=str(authority.ca))
