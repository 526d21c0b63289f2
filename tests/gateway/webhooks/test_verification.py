"""Verification of signed requests: valid ones pass, and each reason for rejection has a code."""

from __future__ import annotations

import base64
import hmac
import json
from typing import Any

import pytest

from gateway.webhooks.signature import new_secret, sign
from gateway.webhooks.verification import VerdictOut, verify_request

SECRET = "whsec_/+ECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
OTHER = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
KEY = base64.b64decode(SECRET.removeprefix("whsec_"))
AT = 1767323047
ID = "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W"
# Keys not in alphabetical order; a slash, an umlaut and an emoji.
EVENT = {
    "type": "run.completed",
    "timestamp": "2026-01-02T03:04:05.678Z",
    "data": {
        "flow_run_id": "019b",
        "deployment_id": "0b0f",
        "output_data": {"label": ["größer", "😀"], "ratio": 0.25},
        "result_url": "https://example.com/node/flow-runs/019b/",
    },
}
BODY = json.dumps(EVENT, separators=(",", ":"), ensure_ascii=False).encode()
DIGEST = hmac.digest(KEY, f"{ID}.{AT}.".encode() + BODY, "sha256")
SIGNATURE = "v1," + base64.b64encode(DIGEST).decode()
HEADERS = {"webhook-id": ID, "webhook-timestamp": str(AT), "webhook-signature": SIGNATURE}


# Any: arguments of verify_request
def verified(
    changes: dict[str, str] | None = None,
    body: bytes = BODY,
    secret: str = SECRET,
    **more: Any,
) -> VerdictOut:
    """Verify the request with some headers changed."""
    found = verify_request(HEADERS | (changes or {}), body, secret, **{"at": AT, **more})
    assert SECRET.removeprefix("whsec_") not in repr(found)
    return found


def codes(verdict: VerdictOut) -> list[str]:
    assert verdict.good is not bool(verdict.findings)
    return [finding.code for finding in verdict.findings]


def test_a_valid_signature_has_no_findings() -> None:
    found = verified()
    assert (found.good, found.findings, found.expected) == (True, [], SIGNATURE)
    assert sign(SECRET, ID, AT, BODY) == SIGNATURE


def test_header_names_may_have_any_case_and_underscores() -> None:
    headers = {"Webhook-Id": ID, "WEBHOOK_TIMESTAMP": str(AT), "webhook-Signature": SIGNATURE}
    assert verify_request(headers, BODY, SECRET, at=AT).good


@pytest.mark.parametrize(
    ("off", "expected"),
    [
        (300, []),
        (-300, []),
        (301, ["timestamp_too_old"]),
        (-301, ["timestamp_in_future"]),
    ],
)
def test_a_timestamp_may_be_five_minutes_off(off: int, expected: list[str]) -> None:
    found = verified(at=AT + off)
    assert codes(found) == expected
    assert found.expected == SIGNATURE
    assert all(f"{abs(off)} s" in finding.message for finding in found.findings)


@pytest.mark.parametrize(
    "secret",
    [
        "",
        SECRET.removeprefix("whsec_"),
        SECRET + "\n",
        f'"{SECRET}"',
        "whsec_" + KEY.hex() * 2,
        "whsec_not base64!",
        "whsec_" + base64.b64encode(KEY[:16]).decode(),
        "sk-0123456789",
    ],
)
def test_a_malformed_secret_is_reported_and_not_repeated(secret: str) -> None:
    found = verified(secret=secret)
    assert codes(found) == ["secret_invalid"]
    assert found.expected is None
    bare = secret.strip().strip('"').removeprefix("whsec_")
    assert not bare or bare not in repr(found)


def test_an_api_key_in_place_of_the_secret_is_recognised() -> None:
    (finding,) = verified(secret="sk-0123456789").findings
    assert "API key" in finding.message


def test_each_missing_header_is_reported() -> None:
    found = verify_request({}, BODY, SECRET, at=AT)
    assert codes(found) == ["header_missing"] * 3
    places = [str(finding.place) for finding in found.findings]
    assert places == ["webhook-id", "webhook-timestamp", "webhook-signature"]
    assert found.expected is None
    assert verified({"webhook-signature": ""}).expected == SIGNATURE


@pytest.mark.parametrize("timestamp", ["2026-01-02T03:04:06Z", f"{AT}.5", f"{AT}678", "noon", "²"])
def test_a_timestamp_that_is_not_whole_unix_seconds_is_malformed(timestamp: str) -> None:
    found = verified({"webhook-timestamp": timestamp})
    assert codes(found) == ["timestamp_malformed"]
    assert timestamp in found.findings[0].message


@pytest.mark.parametrize(
    "signature",
    [
        f"v1,{DIGEST.hex()}",
        f"sha256={DIGEST.hex()}",
        f"v1={base64.b64encode(DIGEST).decode()}",
        base64.b64encode(DIGEST).decode(),
        f"v1,{base64.urlsafe_b64encode(DIGEST).decode()}",
        SIGNATURE.rstrip("="),
        SIGNATURE[:20],
        "v1,$$$",
        "v1a,AAAA",
    ],
)
def test_a_signature_in_another_format_is_malformed(signature: str) -> None:
    found = verified({"webhook-signature": signature})
    assert codes(found) == ["signature_malformed"]
    assert found.expected == SIGNATURE


def test_one_matching_signature_among_several_is_enough() -> None:
    both = f"{sign(OTHER, ID, AT, BODY)} v1a,AAAA {SIGNATURE}"
    assert verified({"webhook-signature": both}).good


def test_another_secret_is_a_mismatch() -> None:
    found = verified({"webhook-signature": sign(OTHER, ID, AT, BODY)})
    assert codes(found) == ["signature_mismatch"]
    assert "the secret is wrong" in found.findings[0].message


@pytest.mark.parametrize("header", [{"webhook-id": "msg_2"}, {"webhook-timestamp": str(AT + 1)}])
def test_the_signature_covers_id_and_timestamp(header: dict[str, str]) -> None:
    assert codes(verified(header)) == ["signature_mismatch"]


def test_the_previous_secret_is_recognised_but_not_accepted() -> None:
    old = {"webhook-signature": sign(OTHER, ID, AT, BODY)}
    assert codes(verified(old, previous_secret=OTHER)) == ["previous_secret"]
    assert codes(verified(old, previous_secret=new_secret())) == ["signature_mismatch"]
    assert codes(verified(old, previous_secret="none")) == ["signature_mismatch"]


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(EVENT).encode(),
        json.dumps(EVENT, indent=2).encode(),
        BODY.replace(b"/", b"\\/"),
        BODY + b"\n",
        b"",
        b"\xff" + BODY,
    ],
)
def test_a_body_that_was_serialised_again_or_decoded_wrongly_is_reported(body: bytes) -> None:
    found = verified(body=body)
    assert codes(found) == ["body_changed"]
    assert "bytes as received" in found.findings[0].message


def test_a_truncated_body_is_recognised_by_its_length() -> None:
    found = verified({"content-length": str(len(BODY))}, BODY[:-9])
    assert codes(found) == ["body_changed"]
    assert f"content-length is {len(BODY)}" in found.findings[0].message
    assert codes(verified(body=BODY[:-9])) == ["signature_mismatch"]


@pytest.mark.parametrize(
    "body",
    [b"[" * 100_000, b'{"a":' * 50_000, b"1" * 10_000, b"NaN", b'"\\ud800"'],
    ids=["lists", "objects", "number", "NaN", "surrogate"],
)
def test_unusual_bodies_are_a_mismatch(body: bytes) -> None:
    assert codes(verified(body=body)) == ["signature_mismatch"]


def test_a_digest_whose_base64_looks_like_a_version_is_read_whole() -> None:
    bodies = (b'{"n":%d}' % n for n in range(100_000))
    body = next(body for body in bodies if sign(SECRET, ID, AT, body).startswith("v1,v1"))
    assert verified({"webhook-signature": sign(SECRET, ID, AT, body)}, body).good
