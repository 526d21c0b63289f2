"""Gateways on another machine than the inference servers: they share only the database."""

from __future__ import annotations

import subprocess
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest

from tests.authority import Authority, replace_file
from tests.gateway.databases import PostgresDatabase
from tests.slipstream.running import NO_WORKER, Up, environment, free_port
from tests.timing import TIMEOUT_SECONDS, eventually

TOKEN = "a-token-of-32-characters-or-more"
SERVERS, GATEWAY = "127.0.0.2", "127.0.0.3"


@pytest.fixture
def database() -> Iterator[PostgresDatabase]:
    made = PostgresDatabase()
    made.create()
    yield made
    made.drop()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "certificates")


class OtherGateway:
    """`slipstream gateway` at a separate address, as a context manager."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.port = free_port()
        command = [sys.executable, "-m", "slipstream", "gateway", "--state", str(folder / "other")]
        command += ["--host", GATEWAY, "--port", str(self.port), "--grpc-port", str(free_port())]
        self._log = folder / "other.log"
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, env={**environment(), **settings}
            )
        weakref.finalize(self, self.process.kill)

    def log(self) -> str:
        """Return its output so far."""
        return self._log.read_text()

    def status(self, up: Up) -> int:
        """Make the demo call to this gateway; return the status, or 0 without a response."""
        (curl,) = [line for line in up.output if line.startswith("curl")]
        key = curl.partition("X-API-Key: ")[2].partition("'")[0]
        path = curl.partition(f":{up.port}")[2].partition(" ")[0]
        body = {"input_data": {"x": [[5.1, 3.5, 1.4, 0.2]]}}
        try:
            answer = httpx.post(
                f"http://{GATEWAY}:{self.port}{path}", json=body, headers={"X-API-Key": key}
            )
        except httpx.TransportError:
            return 0
        return answer.status_code

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        assert self.process.wait(TIMEOUT_SECONDS) == 0, self.log()


@pytest.fixture
def state() -> Iterator[Path]:
    """A folder whose path is short enough to contain Unix sockets."""
    with TemporaryDirectory(prefix="ss-") as folder:
        yield Path(folder) / "state"


def hide_sockets(state: Path) -> None:
    """Remove the Unix sockets: on another machine they do not exist."""
    for socket in (state / "run" / "sockets").iterdir():
        socket.unlink()


@pytest.mark.services
def test_a_remote_gateway_reaches_inference_servers_with_mutual_tls(
    state: Path, tmp_path: Path, database: PostgresDatabase, authority: Authority
) -> None:
    shared = {"SLIPSTREAM_DATABASE_URL": database.url, "SLIPSTREAM_KEY_PEPPER": "p" * 40}
    pair, own = authority.issue("server", "models.internal"), authority.issue("gateway", "gateway")
    up = Up(
        state,
        *NO_WORKER,
        **shared,
        SLIPSTREAM_INFERENCE_TCP=f"{SERVERS}:0",
        SLIPSTREAM_INFERENCE_TLS_CERTIFICATE=str(pair.certificate),
        SLIPSTREAM_INFERENCE_TLS_KEY=str(pair.key),
        SLIPSTREAM_INFERENCE_TLS_CLIENT_CA=str(authority.ca),
    )
    up.until("documentation")
    hide_sockets(state)
    known = {
        "SLIPSTREAM_UPSTREAM_TLS_CA": str(authority.ca),
        "SLIPSTREAM_UPSTREAM_TLS_SERVER_NAME": "models.internal",
    }
    untrusted = OtherGateway(tmp_path, **shared, **known)
    eventually(untrusted.log, lambda log: "require a client certificate" in log)
    assert untrusted.status(up) == 503
    untrusted.stop()
    gateway = OtherGateway(
        tmp_path,
        **shared,
        **known,
        SLIPSTREAM_UPSTREAM_TLS_CERTIFICATE=str(own.certificate),
        SLIPSTREAM_UPSTREAM_TLS_KEY=str(own.key),
    )
    eventually(lambda: gateway.status(up), lambda status: status == 200)
    targets = httpx.get(f"http://{GATEWAY}:{gateway.port}/metrics/targets").json()
    assert targets[0]["labels"]["__scheme__"] == "https"
    assert targets[0]["targets"][0].startswith("127.0.0.1:")
    gateway.stop()
    assert up.stop() == 0


@pytest.mark.long
@pytest.mark.services
def test_a_remote_gateway_reaches_inference_servers_with_a_token(
    state: Path, tmp_path: Path, database: PostgresDatabase
) -> None:
    shared = {"SLIPSTREAM_DATABASE_URL": database.url, "SLIPSTREAM_KEY_PEPPER": "p" * 40}
    tokens = tmp_path / "tokens"
    replace_file(tokens, TOKEN.encode())
    up = Up(
        state,
        *NO_WORKER,
        **shared,
        SLIPSTREAM_INFERENCE_TCP="0.0.0.0:0",
        SLIPSTREAM_INFERENCE_ADVERTISE=SERVERS,
        SLIPSTREAM_INFERENCE_TOKEN_FILE=str(tokens),
    )
    up.until("documentation")
    hide_sockets(state)
    untrusted = OtherGateway(tmp_path, **shared)
    eventually(untrusted.log, lambda log: "inference_server_unreachable" in log)
    assert untrusted.status(up) == 503
    untrusted.stop()
    gateway = OtherGateway(tmp_path, **shared, SLIPSTREAM_UPSTREAM_TOKEN_FILE=str(tokens))
    eventually(lambda: gateway.status(up), lambda status: status == 200)
    gateway.stop()
    assert up.stop() == 0
    assert TOKEN not in up.errors


@pytest.mark.long
def test_inference_servers_without_authentication_are_refused(tmp_path: Path) -> None:
    up = Up(tmp_path / "state", "--no-demo", SLIPSTREAM_INFERENCE_TCP="0.0.0.0:0")
    assert up.ended() == 3
    errors = (tmp_path / "state.stderr").read_text().splitlines()
    (line,) = [line for line in errors if line.startswith("slipstream:")]
    assert "--tcp 0.0.0.0:0: other machines reach this" in line
