"""An installation with TLS, called by common clients."""

from __future__ import annotations

import json
import shlex
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path

import grpc
import httpx
import numpy as np
import pytest
import requests
from tritonclient import grpc as triton_grpc
from tritonclient import http as triton_http

from tests.authority import Authority, replace_file
from tests.slipstream.cli import invoke
from tests.slipstream.running import NO_WORKER, Up
from tests.slipstream.test_up_refusals import refused
from tests.system.grpcio_gateway import grpcio_gateway
from tests.system.installation import Installation
from tests.system.registered_server import RegisteredServer
from tests.timing import TIMEOUT_SECONDS, Timer, eventually
from transport import KeyPair

IRIS = np.array([[5.1, 3.5, 1.4, 0.2]], np.float32)
HEADER_SECONDS = 3.0
MAX_CONNECTIONS = 256


class TlsInstallation:
    """A running installation and the settings of its clients."""

    def __init__(self, up: Up, authority: Authority, pair: KeyPair, lines: list[str]) -> None:
        self.up = up
        self.authority = authority
        self.pair = pair
        self.curl = shlex.split(next(line for line in lines if line.startswith("curl")))
        self.lines = lines
        self.url = f"https://localhost:{up.port}"
        self.ca = str(authority.ca)

    @cached_property
    def key(self) -> str:
        """An API key that calls models: the demo's calls its deployment only."""
        words = ["keys", "create", "--name", "models", "--state", str(self.up.state)]
        return invoke(words).stdout.strip()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsInstallation]:
    folder = tmp_path_factory.mktemp("tls")
    authority = Authority(folder / "certificates")
    pair = authority.issue("server")
    (folder / "tokens").write_text("a-token-of-32-characters-or-more\n")
    options = ["--tls-cert", str(pair.certificate), "--tls-key", str(pair.key), *NO_WORKER]
    up = Up(
        folder / "state",
        *options,
        SLIPSTREAM_HEADER_SECONDS=str(HEADER_SECONDS),
        SLIPSTREAM_MAX_CONNECTIONS=str(MAX_CONNECTIONS),
        SLIPSTREAM_UPSTREAM_TOKEN_FILE=str(folder / "tokens"),
    )
    up.until("documentation")
    yield TlsInstallation(up, authority, pair, list(up.output))
    assert up.stop() == 0


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


@pytest.mark.services
def test_the_printed_curl_command_uses_https_and_works(running: TlsInstallation) -> None:
    assert any(f"ready at https://127.0.0.1:{running.up.port}" in line for line in running.lines)
    curl = [running.curl[0], "--cacert", running.ca, *running.curl[1:]]
    answer = subprocess.run(
        curl, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=True
    )
    assert "output" in answer.stdout


def test_the_curl_line_of_a_new_deployment_uses_https_and_works(running: TlsInstallation) -> None:
    state = ["--state", str(running.up.state)]
    flows = invoke(["flows", "list", "--json", *state])
    flow = json.loads(flows.stdout)["items"][0]["id"]
    create = ["deployments", "create", "--flow", flow, "--mode", "fast", *state]
    shown = invoke(create).stdout
    (line,) = (line for line in shown.splitlines() if line.startswith("curl "))
    assert "slipstream up" not in shown
    curl = shlex.split(line)
    curl[1:1] = ["--cacert", running.ca]
    answer = subprocess.run(
        curl, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=True
    )
    assert json.loads(answer.stdout)["status"] == "completed"


def test_httpx_and_requests_reach_rest_but_not_with_another_ca_or_without_tls(
    running: TlsInstallation, authority: Authority
) -> None:
    url = f"{running.url}/readyz"
    context = ssl.create_default_context(cafile=running.ca)
    assert httpx.get(url, verify=context).json()["ready"]
    assert requests.get(url, verify=running.ca, timeout=TIMEOUT_SECONDS).json()["ready"]
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(url, verify=str(authority.ca), timeout=TIMEOUT_SECONDS)
    with pytest.raises(requests.exceptions.ConnectionError):
        requests.get(url.replace("https", "http"), timeout=TIMEOUT_SECONDS)
    assert requests.get(url, verify=running.ca, timeout=TIMEOUT_SECONDS).json()["ready"]


def test_alpn_selects_http_1_1_for_rest_and_h2_for_grpc(running: TlsInstallation) -> None:
    context = ssl.create_default_context(cafile=running.ca)
    context.set_alpn_protocols(["h2", "http/1.1"])
    for port, expected in ((running.up.port, "http/1.1"), (running.up.grpc_port, "h2")):
        with (
            socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_SECONDS) as raw,
            context.wrap_socket(raw, server_hostname="localhost") as tls,
        ):
            assert tls.selected_alpn_protocol() == expected


def test_triton_clients_call_both_ports(running: TlsInstallation) -> None:
    key = {"authorization": f"Bearer {running.key}"}
    batch = triton_grpc.InferInput("x", list(IRIS.shape), "FP32")
    batch.set_data_from_numpy(IRIS)
    with triton_grpc.InferenceServerClient(
        f"localhost:{running.up.grpc_port}", ssl=True, root_certificates=running.ca
    ) as client:
        assert client.is_server_live(headers=key)
        assert client.infer("iris", [batch], headers=key).get_response().model_name == "iris"
    over_http = triton_http.InferInput("x", list(IRIS.shape), "FP32")
    over_http.set_data_from_numpy(IRIS)
    with triton_http.InferenceServerClient(
        f"localhost:{running.up.port}", ssl=True, ssl_options={"ca_certs": running.ca}
    ) as client:
        assert client.infer("iris", [over_http], headers=key).get_response()["model_name"] == "iris"


@pytest.mark.long
def test_the_grpcio_server_uses_tls_and_reloads_the_files(
    running: TlsInstallation, tmp_path: Path
) -> None:
    files = Authority(tmp_path / "certificates")
    pair = files.issue("server")
    options = ["--tls-cert", str(pair.certificate), "--tls-key", str(pair.key)]
    batch = triton_grpc.InferInput("x", list(IRIS.shape), "FP32")
    batch.set_data_from_numpy(IRIS)
    key = {"x-api-key": running.key}
    with grpcio_gateway(running.up, *options, ca=str(files.ca)) as port:
        with triton_grpc.InferenceServerClient(
            f"localhost:{port}", ssl=True, root_certificates=str(files.ca)
        ) as client:
            assert client.infer("iris", [batch], headers=key).get_response().model_name == "iris"
        first = ssl.get_server_certificate(("localhost", port), timeout=TIMEOUT_SECONDS)
        files.issue("server")
        assert ssl.get_server_certificate(("localhost", port), timeout=TIMEOUT_SECONDS) != first


def test_grpcio_with_an_unrequested_client_certificate_is_served(running: TlsInstallation) -> None:
    pair = running.authority.issue("client", "unrequested")
    credentials = grpc.ssl_channel_credentials(
        Path(running.ca).read_bytes(), pair.key.read_bytes(), pair.certificate.read_bytes()
    )
    with grpc.secure_channel(f"localhost:{running.up.grpc_port}", credentials) as channel:
        assert channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=TIMEOUT_SECONDS)


def test_large_bodies_are_transferred_completely(running: TlsInstallation) -> None:
    rows = np.random.default_rng(1).random((60_000, 4)).round(3).tolist()
    answer = httpx.post(
        f"{running.url}/v2/models/iris/infer",
        json={"inputs": [{"name": "x", "shape": [60_000, 4], "datatype": "FP32", "data": rows}]},
        headers={"X-API-Key": running.key},
        verify=ssl.create_default_context(cafile=running.ca),
        timeout=TIMEOUT_SECONDS,
    )
    assert answer.status_code == 200
    assert answer.json()["outputs"][0]["shape"][0] == 60_000


def test_a_refused_body_leaves_the_response_readable_and_ends_the_connection(
    running: TlsInstallation,
) -> None:
    head = b"POST /v2/models/iris/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 60000000\r\n\r\n"
    context = ssl.create_default_context(cafile=running.ca)
    with (
        socket.create_connection(("127.0.0.1", running.up.port), timeout=TIMEOUT_SECONDS) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        connection.sendall(head + bytes(500_000))
        response = b""
        with suppress(ConnectionResetError, ssl.SSLEOFError):
            while part := connection.recv(65_536):
                response += part
    assert response.startswith(b"HTTP/1.1 401 ")
    assert b"\r\nconnection: close\r\n" in response


def test_an_inference_server_registers_only_where_the_ca_is_its_own(
    running: TlsInstallation, authority: Authority, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    command = Installation(running.up).command
    key.write_text(command("keys", "create", "--name", "pods", "--serve")["key"])
    options = ("--register", running.url, "--register-key-file", str(key))
    options += ("--token-file", running.up.extra["SLIPSTREAM_UPSTREAM_TOKEN_FILE"])
    options += ("--store", str(running.up.state / "models"))

    def started(ca: Path) -> RegisteredServer:
        return RegisteredServer(
            ca.parent.name, tmp_path, *options, "--register-ca", str(ca), model="iris"
        )

    refused, registered = started(authority.ca), started(Path(running.ca))
    eventually(registered.log, lambda log: '"event": "registered"' in log)
    eventually(refused.log, lambda log: "CERTIFICATE_VERIFY_FAILED" in log)
    for server in (refused, registered):
        assert key.read_text() not in server.log()
        server.stop()
    refused = started(key)
    assert refused.process.wait(TIMEOUT_SECONDS) == 1
    assert f"--register-ca {key}: expected a PEM file" in refused.log()


@pytest.mark.long
def test_certificates_change_under_load_without_a_failed_call(running: TlsInstallation) -> None:
    over = threading.Event()
    statuses: list[int] = []
    context = ssl.create_default_context(cafile=running.ca)

    def keep_calling() -> None:
        while not over.is_set():
            with httpx.Client(verify=context) as client:
                for _ in range(20):
                    answer = client.get(f"{running.url}/readyz")
                    statuses.append(answer.status_code)

    callers = [threading.Thread(target=keep_calling) for _ in range(4)]
    for caller in callers:
        caller.start()
    for _ in range(3):
        before = served_certificate(running)
        running.authority.issue("server")
        eventually(
            lambda: served_certificate(running), lambda after, before=before: after != before
        )
    over.set()
    for caller in callers:
        caller.join()
    assert len(statuses) > 100
    assert set(statuses) == {200}


@pytest.mark.long
def test_an_invalid_certificate_pair_is_logged_and_not_used(
    running: TlsInstallation, authority: Authority
) -> None:
    before = served_certificate(running)
    replace_file(running.pair.key, authority.issue("other").key.read_bytes())
    eventually(lambda: running.up.errors, lambda log: "belongs to another certificate" in log)
    assert served_certificate(running) == before
    running.authority.issue("server")
    eventually(lambda: served_certificate(running), lambda after: after != before)


@pytest.mark.long
def test_an_unfinished_handshake_times_out_and_does_not_delay_others(
    running: TlsInstallation,
) -> None:
    limit = MAX_CONNECTIONS // 8
    silent = [socket.create_connection(("127.0.0.1", running.up.port)) for _ in range(limit + 20)]
    timer = Timer()
    assert requests.get(f"{running.url}/livez", verify=running.ca, timeout=4).ok
    for each in silent[:20]:
        assert is_closed(each)
    assert timer.seconds < HEADER_SECONDS, "at the limit, the oldest are closed"
    for each in silent[20:]:
        assert is_closed(each)
    assert timer.elapsed > HEADER_SECONDS - 1
    assert timer.seconds < HEADER_SECONDS + 10


def is_closed(connection: socket.socket) -> bool:
    """Wait until the server closes a connection; return whether it sent nothing before."""
    connection.settimeout(TIMEOUT_SECONDS)
    with connection:
        try:
            return connection.recv(1) == b""
        except ConnectionResetError:
            return True


def served_certificate(running: TlsInstallation) -> str:
    """Return the certificate that a new connection gets."""
    address = ("localhost", running.up.port)
    return ssl.get_server_certificate(address, ca_certs=running.ca)


@pytest.mark.long
def test_shutdown_does_not_wait_for_idle_clients(tmp_path: Path, authority: Authority) -> None:
    pair = authority.issue("server", "api.example")
    pair.key.chmod(0o644)
    options = ["--tls-cert", str(pair.certificate), "--tls-key", str(pair.key), *NO_WORKER]
    up = Up(tmp_path / "state", *options, SLIPSTREAM_DRAIN_SECONDS="20")
    curl = up.until("curl")
    assert f"--resolve api.example:{up.port}:127.0.0.1" in curl
    assert f"https://api.example:{up.port}/node/" in curl
    eventually(
        lambda: up.errors,
        lambda log: f"other users have access to the private key {pair.key}" in log,
    )
    context = ssl.create_default_context(cafile=str(authority.ca))
    with (
        socket.create_connection(("127.0.0.1", up.port), timeout=TIMEOUT_SECONDS) as raw,
        context.wrap_socket(raw, server_hostname="api.example") as idle,
    ):
        idle.sendall(b"GET /livez HTTP/1.1\r\nhost: api.example\r\n\r\n")
        assert b"200" in idle.recv(4096)
        timer = Timer()
        assert up.stop() == 0
        assert timer.seconds < 15


@pytest.mark.parametrize("option", ["--tls-cert", "--tls-key"])
def test_certificate_and_key_options_require_each_other(
    tmp_path: Path, authority: Authority, option: str
) -> None:
    pair = authority.issue("server")
    file = pair.certificate if option == "--tls-cert" else pair.key
    status, _, line = refused(option, str(file), "--state", str(tmp_path / "state"))
    assert status == 3
    assert f"{option} is set and" in line
    assert not (tmp_path / "state").exists()


def test_unusable_files_are_refused_by_name(tmp_path: Path, authority: Authority) -> None:
    pair, other = authority.issue("server"), authority.issue("other")
    missing = tmp_path / "missing.pem"
    for key, message in (
        (missing, f"{missing} cannot be read"),
        (other.key, "another certificate"),
    ):
        options = ["--tls-cert", str(pair.certificate), "--tls-key", str(key)]
        status, _, line = refused(*options, "--state", str(tmp_path / "state"))
        assert status == 3
        assert message in line
