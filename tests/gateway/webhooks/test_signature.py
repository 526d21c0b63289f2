"""Signatures of Standard Webhooks 1.0.0, checked by its vectors and by an independent library."""

from __future__ import annotations

import base64
import json
import subprocess
import time
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook

from gateway.webhooks.signature import check_secret, new_secret, sign, signature_header

BODY = '{"type":"run.completed","data":{"text":"größer, 😀"}}'.encode()


@pytest.fixture
def npm_verifier(node_folder: Path) -> Path:
    """The program that verifies with the npm package."""
    return node_folder / "judge.mjs"


def verdict(npm_verifier: Path, secret: str, headers: dict[str, str], body: bytes = BODY) -> str:
    payload = json.dumps({"secret": secret, "headers": headers, "body": body.decode()})
    result = subprocess.run(
        ["node", str(npm_verifier)], input=payload.encode(), check=True, capture_output=True
    )
    return result.stdout.decode()


def signed(secrets: list[str], body: bytes = BODY) -> dict[str, str]:
    at = int(time.time())
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(at),
        "webhook-signature": signature_header(secrets, "msg_1", at, body),
    }


@pytest.mark.parametrize(
    ("secret", "message_id", "timestamp", "body", "signature"),
    [
        (
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1614265330,
            b'{"test": 2432232314}',
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        ),
        (
            "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
            "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W",
            1767323046,
            b'{"type":"run.completed","timestamp":"2026-01-02T03:04:05.678Z","data":'
            b'{"flow_run_id":"0b0f2a6e-6b1f-4c57-9a2f-0f2d3c4b5a69","status":"completed"}}',
            "v1,EolZbOL12YuZg5aY7PydiSsdRTn9evDsT0H2CuZPQug=",
        ),
    ],
)
def test_signatures_match_the_published_vectors(
    secret: str, message_id: str, timestamp: int, body: bytes, signature: str
) -> None:
    assert sign(secret, message_id, timestamp, body) == signature


def test_a_new_secret_is_32_random_bytes() -> None:
    secret, other = new_secret(), new_secret()
    assert secret != other
    assert secret.startswith("whsec_")
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32
    check_secret(secret)


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        "whsec_no base64!",
        "whsec_" + base64.b64encode(b"x" * 23).decode(),
        "whsec_" + base64.b64encode(b"x" * 65).decode(),
        base64.b64encode(b"x" * 32).decode(),
    ],
)
def test_a_malformed_secret_is_refused(secret: str) -> None:
    with pytest.raises(ValueError, match="whsec_"):
        check_secret(secret)


@pytest.mark.services
def test_the_libraries_of_pypi_and_npm_accept_our_signatures(npm_verifier: Path) -> None:
    secret = new_secret()
    headers = signed([secret])
    Webhook(secret).verify(BODY, headers)
    assert verdict(npm_verifier, secret, headers) == "good"


@pytest.mark.services
def test_either_of_two_active_secrets_verifies(npm_verifier: Path) -> None:
    new, old = new_secret(), new_secret()
    headers = signed([new, old])
    for secret in (new, old):
        Webhook(secret).verify(BODY, headers)
        assert verdict(npm_verifier, secret, headers) == "good"


@pytest.mark.services
def test_another_secret_or_another_body_is_rejected(npm_verifier: Path) -> None:
    secret = new_secret()
    headers = signed([secret])
    assert "No matching signature" in verdict(npm_verifier, new_secret(), headers)
    assert "No matching signature" in verdict(npm_verifier, secret, headers, BODY + b" ")
