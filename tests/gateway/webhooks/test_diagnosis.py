"""Every mistake with a signature that is known, made on purpose, and called by its name."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from gateway.webhooks.diagnosis import diagnose
from gateway.webhooks.findings import Diagnosis, SignedRequest
from gateway.webhooks.signature import key_of, sign

SECRET = "whsec_/+ECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
OTHER = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
AT = 1767323047
ID = "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W"
# Keys in our order, which is no alphabetical one; a slash, an umlaut and an emoji.
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
KEY = key_of(SECRET)
SIGNED = f"{ID}.{AT}.".encode() + BODY


def mac(key: bytes, content: bytes = SIGNED, name: str = "sha256") -> str:
    return "v1," + base64.b64encode(hmac.digest(key, content, name)).decode()


GOOD = SignedRequest(message_id=ID, timestamp=str(AT), signature=mac(KEY), body=BODY)


def codes(diagnosis: Diagnosis) -> list[str]:
    return [finding.code for finding in diagnosis.findings if finding.fault]


def judged(
    request: SignedRequest = GOOD, secret: str = SECRET, *, at: float = AT, **more: Any
) -> Diagnosis:
    found = diagnose(request, secret, at=at, **more)
    assert SECRET.removeprefix("whsec_") not in repr(found)
    return found


def test_a_good_request_is_good() -> None:
    found = judged()
    assert found.good
    assert found.findings == ()
    assert found.reason == ""
    assert found.expected == GOOD.signature == sign(SECRET, ID, AT, BODY)


@pytest.mark.parametrize("off", [-300, 300])
def test_five_minutes_off_is_good(off: int) -> None:
    assert judged(at=AT + off).good


SECRETS = {
    "secret_empty": "",
    "secret_without_prefix": SECRET.removeprefix("whsec_"),
    "secret_white_space": SECRET + "\n",
    "secret_quoted": f'"{SECRET}"',
    "secret_prefix_twice": "whsec_" + SECRET,
    "secret_url_safe": SECRET.replace("/", "_"),
    "secret_unpadded": "whsec_" + base64.b64encode(KEY).decode().rstrip("="),
    "secret_hex": "whsec_" + KEY.hex(),
    "secret_not_base64": "whsec_not base64!",
    "secret_length": "whsec_" + base64.b64encode(KEY[:16]).decode(),
    "secret_asymmetric": "whpk_" + base64.b64encode(KEY).decode(),
    "secret_is_api_key": "sk-0123456789",
}


@pytest.mark.parametrize("code", SECRETS)
def test_a_secret_that_is_written_wrongly_is_named(code: str) -> None:
    secret = SECRETS[code]
    bare = secret.strip().strip('"').removeprefix("whsec_").removeprefix("whsec_")
    found = judged(GOOD, secret)
    assert not found.good
    assert codes(found)[0] == code, found
    assert not bare or bare not in repr(found)


HEADERS: dict[str, tuple[dict[str, Any], float]] = {
    "header_missing": ({"message_id": None}, AT),
    "id_with_dot": ({"message_id": "msg_1.2"}, AT),
    "id_white_space": ({"message_id": f" {ID}"}, AT),
    "timestamp_not_integer": ({"timestamp": "2026-01-02T03:04:06Z"}, AT),
    "timestamp_with_dot": ({"timestamp": f"{AT}.5"}, AT),
    "timestamp_white_space": ({"timestamp": f"{AT} "}, AT),
    "timestamp_milliseconds": ({"timestamp": f"{AT}678"}, AT),
    "timestamp_microseconds": ({"timestamp": f"{AT}678901"}, AT),
    "timestamp_nanoseconds": ({"timestamp": f"{AT}678901234"}, AT),
    "timestamp_too_old": ({}, AT + 301),
    "timestamp_in_future": ({}, AT - 301),
    "body_empty": ({"body": b""}, AT),
}


@pytest.mark.parametrize("code", HEADERS)
def test_headers_that_are_wrong_are_named_however_well_they_are_signed(code: str) -> None:
    changes, at = HEADERS[code]
    request = replace(GOOD, **changes)
    content = f"{(request.message_id or '').strip()}.{(request.timestamp or '').strip()}.".encode()
    request = replace(request, signature=mac(KEY, content + request.body))
    assert codes(judged(request, at=at)) == [code]


def test_each_missing_header_is_named() -> None:
    found = judged(SignedRequest(message_id=None, timestamp=None, signature=None, body=BODY))
    assert [str(finding.place) for finding in found.findings] == [
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
    ]
    assert found.expected is None
    named = judged(replace(GOOD, message_id=None, other_names=["svix-id"]))
    assert "there is svix-id instead" in named.reason


@pytest.mark.parametrize(
    ("off", "said"),
    [
        (361, ["6 min 1 s before", "1 min 1 s beyond", "clock"]),
        (-400, ["6 min 40 s after", "1 min 40 s beyond"]),
        (2 * 3600 + 12, ["2 h 12 s before", "time zone"]),
        (3 * 86_400, ["3 d before", "another time"]),
    ],
)
def test_how_far_a_timestamp_is_off_is_said(off: int, said: list[str]) -> None:
    reason = judged(at=AT + off).reason
    for words in said:
        assert words in reason


KEYS: dict[str, bytes] = {
    "key_is_text": SECRET.encode(),
    "key_is_text ": SECRET.removeprefix("whsec_").encode(),
    # as Node's Buffer.from(secret, "base64") does it, and PHP's base64_decode
    "key_with_prefix": base64.b64decode(SECRET.replace("_", "/")[:48]),
    "key_with_prefix ": base64.b64decode(SECRET.replace("_", "").rstrip("=")),
    "key_is_hex": KEY.hex().encode(),
    "key_is_string": KEY.decode("latin-1").encode(),
}


@pytest.mark.parametrize("case", KEYS)
def test_a_key_that_was_made_wrongly_is_named(case: str) -> None:
    found = judged(replace(GOOD, signature=mac(KEYS[case])))
    assert codes(found) == [case.strip()]


def test_the_secrets_text_as_key_is_said_in_words() -> None:
    found = judged(replace(GOOD, signature=mac(SECRET.encode())))
    assert "the whole secret's text as the key" in found.reason


def changed(**style: Any) -> bytes:
    return json.dumps(EVENT, **style).encode()


COMPACT: dict[str, Any] = {"separators": (",", ":"), "ensure_ascii": False}
BODIES: dict[str, tuple[bytes, list[str]]] = {
    "Python's json": (changed(), ["body_spacing", "body_escapes"]),
    "spaces": (changed(ensure_ascii=False), ["body_spacing"]),
    "indented": (changed(ensure_ascii=False, indent=2), ["body_spacing"]),
    "escapes": (changed(separators=(",", ":")), ["body_escapes"]),
    "sorted": (changed(**COMPACT, sort_keys=True), ["body_key_order"]),
    "PHP": (
        changed(separators=(",", ":")).replace(b"/", b"\\/"),
        ["body_escapes", "body_slashes"],
    ),
    "line end": (BODY + b"\n", ["body_line_end_added"]),
    "line end of Windows": (BODY + b"\r\n", ["body_line_end_added"]),
    "white space": (b"  " + BODY, ["body_white_space"]),
    "byte order mark": (b"\xef\xbb\xbf" + BODY, ["body_bom"]),
    "encoding": (BODY.decode("latin-1").encode(), ["body_encoding"]),
}


@pytest.mark.parametrize("case", BODIES)
def test_what_became_of_a_body_on_its_way_is_named(case: str) -> None:
    body, expected = BODIES[case]
    found = judged(replace(GOOD, body=body))
    assert codes(found) == expected
    assert all("take the bytes as they came" in finding.message for finding in found.findings)


@pytest.mark.parametrize(
    ("signed", "body", "code"),
    [
        (b'{\n"a":1}', b'{\r\n"a":1}', "body_crlf"),
        (b'{\r\n"a":1}', b'{\n"a":1}', "body_lf"),
        (b'{"a":1}\n', b'{"a":1}', "body_line_end_lost"),
        (b'{"a": 1, "b": 2}', b'{"b":2,"a":1}', "body_spacing"),
    ],
)
def test_bodies_of_other_senders_are_explained_too(signed: bytes, body: bytes, code: str) -> None:
    found = judged(replace(GOOD, body=body, signature=sign(SECRET, ID, AT, signed)))
    assert codes(found)[0] == code


CONTENTS = {
    "without the id": f"{AT}.".encode(),
    "without the timestamp": f"{ID}.".encode(),
    "without id and timestamp": b"",
    "with the timestamp before the id": f"{AT}.{ID}.".encode(),
    "without the dots": f"{ID}{AT}".encode(),
    "with colons": f"{ID}:{AT}:".encode(),
    "in milliseconds": f"{ID}.{AT}000.".encode(),
}


@pytest.mark.parametrize("words", CONTENTS)
def test_what_was_signed_beside_the_body_is_named(words: str) -> None:
    found = judged(replace(GOOD, signature=mac(KEY, CONTENTS[words] + BODY)))
    assert codes(found) == ["signed_content"]
    assert words in found.reason


DIGEST = hmac.digest(KEY, SIGNED, "sha256")
STANDARD = base64.b64encode(DIGEST).decode()
SIGNATURES: dict[str, tuple[str, list[str]]] = {
    "hex": (f"v1,{DIGEST.hex()}", ["signature_hex"]),
    "bare hex": (DIGEST.hex(), ["signature_without_version", "signature_hex"]),
    "as GitHub writes it": (
        f"sha256={DIGEST.hex()}",
        ["signature_without_version", "signature_hex"],
    ),
    "as Stripe writes it": (f"v1={STANDARD}", ["signature_separator"]),
    "no version": (STANDARD, ["signature_without_version"]),
    "no padding": (f"v1,{STANDARD.rstrip('=')}", ["signature_unpadded"]),
    "URL-safe": (f"v1,{base64.urlsafe_b64encode(DIGEST).decode()}", ["signature_url_safe"]),
    "commas": (f"v1,{STANDARD}, v1,{STANDARD}", ["signatures_with_commas"]),
    "SHA-1": (mac(KEY, name="sha1"), ["hash_sha1"]),
    "SHA-512": (mac(KEY, name="sha512"), ["hash_sha512"]),
    "cut": ("v1," + STANDARD[:20], ["signature_length"]),
    "not base64": ("v1,$$$", ["signature_not_base64"]),
    "asymmetric only": ("v1a,AAAA", ["signature_missing"]),
    "another secret": (sign(OTHER, ID, AT, BODY), ["signature_mismatch"]),
}


@pytest.mark.parametrize("case", SIGNATURES)
def test_a_signature_that_is_written_or_made_wrongly_is_named(case: str) -> None:
    signature, expected = SIGNATURES[case]
    assert {"-", "_"} & set(base64.urlsafe_b64encode(DIGEST).decode())
    found = judged(replace(GOOD, signature=signature))
    assert codes(found) == expected


def test_the_previous_secret_is_recognised_where_it_is_given() -> None:
    request = replace(GOOD, signature=sign(OTHER, ID, AT, BODY))
    found = judged(request, previous=[OTHER])
    assert codes(found) == ["previous_secret"]


def test_one_that_fits_among_several_is_enough_and_its_place_is_told() -> None:
    both = f"{sign(OTHER, ID, AT, BODY)} v1a,AAAA {GOOD.signature}"
    found = judged(replace(GOOD, signature=both))
    assert found.good
    other, remark = found.findings
    assert (other.code, remark.code) == ("signature_other_version", "signature_not_first")
    assert "number 3" in remark.message
    assert judged(replace(GOOD, signature=f"{GOOD.signature} v1,AAAA")).findings == ()


def test_two_mistakes_at_once_are_both_named() -> None:
    spaced = json.dumps(EVENT, ensure_ascii=False).encode()
    found = judged(replace(GOOD, signature=mac(SECRET.encode()), body=spaced))
    assert codes(found) == ["key_is_text", "body_spacing"]


def test_a_body_that_was_cut_is_told_by_its_length() -> None:
    found = judged(replace(GOOD, body=BODY[:-9], content_length=len(BODY)))
    assert "it was cut" in found.findings[0].message
    assert codes(found) == ["signature_mismatch"]
    assert hashlib.sha256(BODY[:-9]).hexdigest()[:16] in found.reason


@pytest.mark.parametrize(
    "body",
    [b"[" * 100_000, b'{"a":' * 50_000, b"\xff\xfe\x00", b"1" * 10_000, b"NaN", b'"\\ud800"'],
)
def test_no_body_is_too_odd(body: bytes) -> None:
    assert codes(judged(replace(GOOD, body=body))) == ["signature_mismatch"]


def test_the_largest_event_with_an_unexplained_signature_takes_seconds_at_most() -> None:
    body = json.dumps({"type": "x", "data": {"x": ["größer/"] * 14_000}}, **COMPACT).encode()
    request = replace(GOOD, body=body)
    began = time.monotonic()
    assert not judged(request).good
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("mistake", [lambda text: text + "\n", lambda text: " " + text])
def test_white_space_around_a_secret_is_the_fault_and_not_the_signature(
    mistake: Callable[[str], str],
) -> None:
    assert codes(judged(GOOD, mistake(SECRET))) == ["secret_white_space"]


def test_a_digest_whose_base64_looks_like_a_version_is_read_whole() -> None:
    bodies = (b'{"n":%d}' % n for n in range(100_000))
    body = next(body for body in bodies if sign(SECRET, ID, AT, body).startswith("v1,v1"))
    assert judged(replace(GOOD, body=body, signature=sign(SECRET, ID, AT, body))).good
