"""A private installation whose users have resources, and callers of every kind."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import pytest

from gateway.auth.keys import generate_key
from tests import onnx_models
from tests.slipstream.running import LOOPBACK, Up
from tests.system.document.callers import OWNER, Caller, log_in, spare_sessions
from tests.system.document.resources import PASSWORD, Resources
from tests.system.document.response_counts import ResponseCounts
from tests.system.installation import Installation

_SETTINGS = {
    **LOOPBACK,
    # Limits are tested elsewhere; here no call should be refused by them.
    "SLIPSTREAM_FAILED_AUTH_PER_MINUTE": "0",
    "SLIPSTREAM_KEY_POLLS_PER_MINUTE": "0",
}


class _WebhookReceiver(BaseHTTPRequestHandler):
    """Accepts every webhook."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's
        """Say nothing."""


@pytest.fixture(scope="module")
def receiver() -> Iterator[str]:
    """The URL of a webhook receiver."""
    with HTTPServer(("127.0.0.1", 0), _WebhookReceiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/hook"
        server.shutdown()


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation that serves `iris`."""
    state = tmp_path_factory.mktemp("document") / "state"
    up = Up(state, **_SETTINGS)
    up.until("documentation")
    running = Installation(up)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def callers(
    installation: Installation, receiver: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Caller]]:
    """The callers by name."""
    onnx = onnx_models.mlp(tmp_path_factory.mktemp("models") / "victim.onnx").read_bytes()
    url = installation.up.url
    with contextlib.ExitStack() as opened:

        def client(headers: dict[str, str]) -> httpx.Client:
            made = httpx.Client(base_url=url, headers=headers)
            return opened.enter_context(made)

        def user(role: str, email: str) -> tuple[Resources, dict[str, str]]:
            installation.post("/node/users/", {"email": email, "password": PASSWORD, "role": role})
            page = client(log_in(url, email).headers)
            made = page.post("/node/api-keys/", json={"name": "mine", "scope": "manage"})
            key = {"x-api-key": made.json()["key"]}
            spare = [session.id for session in spare_sessions(url, email)]
            resources = Resources(
                client(key),
                installation.http,
                email=email,
                sessions=spare,
                onnx=onnx,
                webhook_url=receiver,
            )
            return resources, key

        of_owner, owner = user("owner", "owner@example.com")
        of_member, member = user("member", "member@example.com")
        of_browser, _ = user("owner", "browser@example.com")
        issued = client(owner).post("/node/api-keys/", json={"name": "t", "scope": "trigger"})
        sessions = spare_sessions(url, "browser@example.com")
        known = (
            Caller("anonymous", of_owner, {}),
            Caller("wrong key", of_owner, {"x-api-key": generate_key()}),
            Caller("trigger key", of_owner, {"x-api-key": issued.json()["key"]}),
            Caller(OWNER, of_owner, owner),
            Caller("manage key of a member", of_member, member),
            Caller("session of an owner", of_browser, sessions.pop().headers, sessions),
        )
        yield {caller.name: caller for caller in known}


@pytest.fixture(scope="module")
def response_counts() -> ResponseCounts:
    """The responses counted so far."""
    return ResponseCounts()
