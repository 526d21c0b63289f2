"""An installation behind nginx, configured as docs/tls.md says: nginx names the client address."""

from __future__ import annotations

import signal
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import httpx
import pytest

from gateway.auth import keys
from protos.methods import SERVICE
from tests.authority import Authority
from tests.services.nginx import Nginx
from tests.slipstream.running import Up
from tests.system.flow_documents import echo_flow
from tests.system.installation import Installation, chain
from tests.timing import TIMEOUT_SECONDS

pytestmark = pytest.mark.services

PROXY, GUESSER, NEIGHBOUR, OUTSIDER = "127.0.0.9", "127.0.0.2", "127.0.0.3", "127.0.0.4"
VISITOR = "127.0.0.5"
FAILURES = 5
X = [[5.1, 3.5, 1.4, 0.2]]
KEYS = "/node/api-keys/"
PASSWORD = "korrekte pferde heften"


@dataclass
class ProxiedInstallation:
    """An installation and its nginx."""

    installation: Installation
    nginx: Nginx
    ca: Path

    def client(self, address: str, key: str | None = None) -> httpx.Client:
        """Return a client with its own address that calls the proxy."""
        context = ssl.create_default_context(cafile=str(self.ca))
        transport = httpx.HTTPTransport(verify=context, local_address=address)
        url = f"https://localhost:{self.nginx.port}"
        headers = {"X-API-Key": key} if key else {}
        return httpx.Client(
            base_url=url, headers=headers, transport=transport, timeout=TIMEOUT_SECONDS
        )

    def channel(self) -> grpc.Channel:
        """Return a channel to the gRPC port, through the proxy."""
        credentials = grpc.ssl_channel_credentials(self.ca.read_bytes())
        return grpc.secure_channel(f"localhost:{self.nginx.grpc_port}", credentials)


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProxiedInstallation]:
    folder = tmp_path_factory.mktemp("proxied")
    authority = Authority(folder / "certificates")
    up = Up(
        folder / "state",
        SLIPSTREAM_TRUSTED_PROXIES=f"{PROXY}/32",
        SLIPSTREAM_FAILED_AUTH_PER_MINUTE=str(FAILURES),
        SLIPSTREAM_SECURE_COOKIES="1",
        SLIPSTREAM_MAX_BODY_BYTES=str(1024 * 1024),
    )
    up.until("documentation")
    served = folder / "nginx"
    served.mkdir()
    pair = authority.issue("server")
    nginx = Nginx(served, pair, PROXY, port=up.port, grpc_port=up.grpc_port)
    nginx.start()
    yield ProxiedInstallation(installation := Installation(up), nginx, authority.ca)
    installation.stop()
    nginx.stop(signal.SIGTERM)
    for level in ("[emerg]", "[alert]", "[crit]"):
        assert level not in nginx.log()


def guess(client: httpx.Client, *forwarded: str) -> int:
    """Send an invalid key and a forged address; return the answer's status."""
    headers = [
        ("X-API-Key", keys.generate_key()),
        *(("X-Forwarded-For", line) for line in forwarded),
    ]
    return client.get("/node/flows/", headers=headers).status_code


def test_guessing_keys_blocks_one_address_only_and_the_address_cannot_be_forged(
    proxied: ProxiedInstallation,
) -> None:
    with proxied.client(GUESSER) as guesser, proxied.client(NEIGHBOUR) as neighbour:
        answers = [guess(guesser, "203.0.113.7", f"198.51.100.{n}") for n in range(FAILURES + 1)]
        assert answers == [401] * FAILURES + [429]
        assert guess(neighbour) == 401
        assert guess(neighbour, GUESSER) == 401
    past = httpx.HTTPTransport(local_address=OUTSIDER)
    with httpx.Client(base_url=proxied.installation.up.url, transport=past) as outsider:
        answers = [guess(outsider, f"198.51.100.{n}") for n in range(FAILURES + 1)]
        assert answers == [401] * FAILURES + [429]


def ask(channel: grpc.Channel, **metadata: str) -> grpc.StatusCode:
    """Make a gRPC call that requires a key; return its status."""
    method: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
        f"/{SERVICE}/ServerMetadata"
    )
    try:
        pairs = [(name.replace("_", "-"), value) for name, value in metadata.items()]
        method(b"", metadata=(*pairs,), timeout=TIMEOUT_SECONDS)
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def test_guessing_keys_over_grpc_blocks_one_address_only(proxied: ProxiedInstallation) -> None:
    bad = keys.generate_key()
    wrong, late = grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.RESOURCE_EXHAUSTED
    with proxied.channel() as channel:
        assert ask(channel, x_api_key=proxied.installation.key) is grpc.StatusCode.OK
        answers = [
            ask(channel, x_api_key=bad, x_forwarded_for=f"198.51.100.{number}")
            for number in range(FAILURES + 1)
        ]
        assert answers == [wrong] * FAILURES + [late]
    with grpc.insecure_channel(f"127.0.0.1:{proxied.installation.up.grpc_port}") as channel:
        answer = ask(channel, x_api_key=bad, x_forwarded_for="192.0.2.2")
        assert answer is late, "the address cannot be forged without the proxy either"


def test_the_audit_log_has_the_clients_address(proxied: ProxiedInstallation) -> None:
    with proxied.client(NEIGHBOUR, proxied.installation.key) as http:
        flow = http.post("/node/flows/", json=echo_flow()).json()["id"]
        acts = http.get("/node/audit/", params={"subject_id": flow}).json()["items"]
        assert [act["address"] for act in acts] == [NEIGHBOUR]


@pytest.mark.parametrize("api", ["v2", "gRPC"])
def test_a_key_has_the_clients_address(proxied: ProxiedInstallation, api: str) -> None:
    made = proxied.installation.post(KEYS, {"name": "phone"})
    with proxied.client(NEIGHBOUR, made["key"]) as http, proxied.channel() as channel:
        if api == "v2":
            assert http.get("/v2").is_success
        else:
            assert ask(channel, x_api_key=made["key"]) is grpc.StatusCode.OK
    deadline = time.monotonic() + TIMEOUT_SECONDS
    shown = made
    while shown["last_used_at"] is None:
        assert time.monotonic() < deadline
        time.sleep(0.2)
        shown = proxied.installation.http.get(f"{KEYS}{made['id']}/").json()
    assert shown["last_address"] == (NEIGHBOUR if api == "v2" else "127.0.0.1")


@pytest.mark.parametrize("path", ["/metrics", "/metrics/targets"])
def test_metrics_need_a_key_through_the_proxy_only(proxied: ProxiedInstallation, path: str) -> None:
    with proxied.client(VISITOR) as visitor:
        answer = visitor.get(path)
        assert (answer.status_code, answer.json()["code"]) == (401, "api_key_missing")
    with proxied.client(VISITOR, proxied.installation.key) as administrator:
        assert administrator.get(path).status_code == 200
    assert httpx.get(f"{proxied.installation.up.url}{path}").status_code == 200


def test_small_and_large_calls_pass_the_proxy(proxied: ProxiedInstallation) -> None:
    deployment = proxied.installation.deploy(chain("iris"))
    with proxied.client(NEIGHBOUR, proxied.installation.key) as http:
        path = f"/node/deployment-trigger/{deployment}/"
        answers = [http.post(path, json={"input_data": {"x": X}}) for _ in range(20)]
        assert {answer.status_code for answer in answers} == {200}
        assert http.post(path, json={"input_data": {"x": X * 30_000}}).status_code == 200
        refused = http.post(path, json={"input_data": {"x": X * 100_000}})
        assert (refused.status_code, refused.json()["code"]) == (413, "payload_too_large")
    # on another connection: the proxy closes one whose request was refused before it had arrived
    with proxied.client(NEIGHBOUR, proxied.installation.key) as http:
        model, kind = {"name": "none"}, {"Content-Type": "application/octet-stream"}
        refused = http.post("/node/models/", params=model, headers=kind, content=bytes(3_000_000))
        assert refused.status_code == 422, "the gateway rejects a body that is not a model"


def test_run_events_arrive_as_they_happen(proxied: ProxiedInstallation) -> None:
    deployment = proxied.installation.deploy(
        echo_flow(), execution_mode="async", deployment_type="server"
    )
    with proxied.client(NEIGHBOUR, proxied.installation.key) as http:
        body = {"input_data": {"param1": "1"}}
        run = http.post(f"/node/deployment-trigger/{deployment}/", json=body).headers["location"]
        with http.stream("GET", f"{run}events/") as events:
            assert events.status_code == 200
            assert any("completed" in line for line in events.iter_lines())


def test_a_browser_logs_in_by_tls_only(proxied: ProxiedInstallation) -> None:
    with proxied.client(NEIGHBOUR) as http:
        origin = {"Origin": f"https://localhost:{proxied.nginx.port}"}
        body = {"email": "unknown@example.com", "password": PASSWORD}
        answer = http.post("/node/session/", json=body, headers=origin)
        assert answer.json()["code"] == "login_failed", "the request is same-origin"
