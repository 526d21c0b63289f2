"""An installation of its own, with users who have things, for calls of all kinds."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import pytest

from gateway.auth.keys import mint
from tests import onnx_models
from tests.slipstream.running import Up
from tests.system.document.callers import CALLERS, SESSION, Caller, session_of, spare_sessions
from tests.system.document.tally import Tally
from tests.system.document.things import PASSWORD, Things
from tests.system.installation import Installation

_SETTINGS = {
    "SLIPSTREAM_WEBHOOK_ALLOW": "127.0.0.0/8",
    "SLIPSTREAM_WEBHOOK_ALLOW_HTTP": "1",
    # That calls are turned away is tested elsewhere: here as many as can be get through.
    "SLIPSTREAM_FAILED_AUTH_PER_MINUTE": "0",
    "SLIPSTREAM_KEY_POLLS_PER_MINUTE": "0",
}


class _Receiver(BaseHTTPRequestHandler):
    """Takes every webhook."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's
        """Say nothing."""


@pytest.fixture(scope="module")
def receiver() -> Iterator[str]:
    """The URL of somebody who takes webhooks."""
    with HTTPServer(("127.0.0.1", 0), _Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/hook"
        server.shutdown()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """`iris` is served."""
    state = tmp_path_factory.mktemp("document") / "state"
    up = Up(state, **_SETTINGS)
    up.until("documentation")
    running = Installation(up)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def callers(
    house: Installation, receiver: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Caller]]:
    """All CALLERS by name."""
    onnx = onnx_models.mlp(tmp_path_factory.mktemp("models") / "victim.onnx").read_bytes()
    url, clients = house.up.url, []

    def client(headers: dict[str, str]) -> httpx.Client:
        clients.append(httpx.Client(base_url=url, headers=headers, timeout=60))
        return clients[-1]

    sessions = {}
    for role in ("owner", "member"):
        email = f"{role}@example.com"
        house.post("/node/users/", {"email": email, "password": PASSWORD, "role": role})
        sessions[role] = session_of(url, email)
    managers = {
        role: client(sessions[role]).post("/node/api-keys/", json={"name": "m", "scope": "manage"})
        for role in sessions
    }
    keys = {role: {"x-api-key": answer.json()["key"]} for role, answer in managers.items()}
    owner, member = client(keys["owner"]), client(keys["member"])
    trigger = owner.post("/node/api-keys/", json={"name": "t", "scope": "trigger"}).json()["key"]
    of_owner = Things(owner, owner, email="owner@example.com", onnx=onnx, hook=receiver)
    of_member = Things(member, owner, email="member@example.com", onnx=onnx, hook=receiver)
    headers = {
        "nobody": {},
        "wrong key": {"x-api-key": mint()},
        "trigger key": {"x-api-key": trigger},
        "manage key of an owner": keys["owner"],
        "manage key of a member": keys["member"],
        SESSION: sessions["owner"],
    }
    yield {
        name: Caller(
            name=name,
            things=of_member if name.endswith("member") else of_owner,
            headers=headers[name],
            spare=spare_sessions(url, "owner@example.com") if name == SESSION else [],
        )
        for name in CALLERS
    }
    for opened in clients:
        opened.close()


@pytest.fixture(scope="module")
def tally() -> Iterator[Tally]:
    """What was answered so far."""
    found = Tally()
    yield found
    import json  # noqa
    import pathlib

    pathlib.Path("/tmp/tally.json").write_text(
        json.dumps([[*k, v] for k, v in found.counts.items()])
    )
