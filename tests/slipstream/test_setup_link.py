"""The link to the console that `slipstream up` prints, and the set-up that it opens."""

from __future__ import annotations

import signal
from pathlib import Path

import httpx
import pytest

from tests.gateway.served_gateway import PASSWORD
from tests.slipstream.running import NO_WORKER, Up

OPTIONS = ("--no-demo", *NO_WORKER)


def link(up: Up) -> str:
    """Return the link of a start, which comes before the line that says `ready`."""
    printed = up.until("console  ").split()[-1]
    up.until("ready at")
    return printed


def set_up(up: Up, token: str) -> httpx.Response:
    body = {"token": token, "email": "ada@example.com", "password": PASSWORD}
    return httpx.post(f"{up.url}/node/setup/", json=body)


def restarted(up: Up) -> Up:
    """Stop it, and start it again."""
    assert up.stop() == 0
    return Up(up.state, *OPTIONS, port=up.port, grpc_port=up.grpc_port)


def token_of(up: Up, printed: str) -> str:
    """Return the token, after a look at the page of the link, as a browser requests it."""
    page, _, token = printed.partition("#token=")
    assert page == f"{up.url}/console/setup"
    answer = httpx.get(page, headers={"accept": "text/html"})
    if answer.is_success:
        assert "nonce-" in answer.headers["content-security-policy"]
    else:
        assert answer.json()["code"] == "console_not_built"
    return token


def files_with(folder: Path, text: str) -> list[Path]:
    """Return the files below a folder that contain a text."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return [path for path in files if text.encode() in path.read_bytes()]


@pytest.mark.long
def test_the_printed_link_sets_the_first_password_once(tmp_path: Path) -> None:
    up = Up(tmp_path / "state", *OPTIONS)
    first = token_of(up, link(up))
    up = restarted(up)
    token = token_of(up, link(up))
    assert set_up(up, first).json()["code"] == "setup_token_invalid"
    up.process.send_signal(signal.SIGHUP)
    up.until("reloaded, at")
    assert httpx.get(f"{up.url}/node/info/").json()["setup_required"] is True
    answer = set_up(up, token)
    assert answer.status_code == 200, answer.text
    assert answer.json()["user"]["role"] == "owner"
    assert set_up(up, token).json()["code"] == "setup_completed"
    assert httpx.get(f"{up.url}/node/info/").json()["setup_required"] is False
    assert "".join(up.output).count(token) == 1
    assert token not in up.errors
    assert not files_with(up.state, token)
    login = {"email": "ada@example.com", "password": PASSWORD}
    assert httpx.post(f"{up.url}/node/session/", json=login).is_success
    up = restarted(up)
    assert link(up) == f"{up.url}/console/"
    assert up.stop() == 0
