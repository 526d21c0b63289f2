"""Verifies a signed request, and gives the reason when its signature is not valid. Pure."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterator, Mapping
from enum import StrEnum

import orjson
from pydantic import BaseModel, ConfigDict

from gateway.webhooks.signature import (
    ID_HEADER,
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    check_secret,
    sign,
)

TOLERANCE_SECONDS = 300
"""Maximum distance of a timestamp from the current time, in either direction."""

_UNIX_SECONDS = re.compile(r"[0-9]{1,11}")
_SIGNATURE = re.compile(r"v1,[A-Za-z0-9+/]{43}=")
_USE_RAW_BYTES = "verify the bytes as received, before anything parses or decodes them"


class RequestPart(StrEnum):
    """The part of a request that a finding is about."""

    SECRET = "secret"  # nosec B105 # a label
    ID = ID_HEADER
    TIMESTAMP = TIMESTAMP_HEADER
    SIGNATURE = SIGNATURE_HEADER
    BODY = "body"


class FindingOut(BaseModel):
    """One reason why a receiver rejects a request."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    code: str
    """Stable identifier, such as `signature_mismatch`."""
    place: RequestPart
    """What it is about: the secret, the body, or a header."""
    message: str
    """What was expected, what was found, what to do. Contains no secret."""


class VerdictOut(BaseModel):
    """Whether a request's signature is valid, and if not, why."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    good: bool
    """Whether the signature is valid."""
    findings: list[FindingOut]
    """Empty for a valid signature."""
    expected: str | None
    """The signature of this body with this secret; null where one cannot be computed."""


def verify_request(
    headers: Mapping[str, str],
    body: bytes,
    secret: str,
    *,
    at: float,
    previous_secret: str | None = None,
) -> VerdictOut:
    """Return whether a request is signed with `secret`, and all reasons why it is not.

    Args:
        headers: by name, in any case, with `-` or `_`; may contain others.
        body: the bytes as received.
        secret: the secret to verify with.
        at: the time to judge the timestamp at, in Unix seconds.
        previous_secret: recognised as the reason of a mismatch, never accepted.
    """
    given = {name.lower().replace("_", "-"): text.strip() for name, text in headers.items()}
    message_id, timestamp = given.get(ID_HEADER, ""), given.get(TIMESTAMP_HEADER, "")
    findings = [
        *secret_findings(secret),
        *_header_findings(message_id, timestamp),
        *_body_findings(body),
    ]
    expected = None if findings else sign(secret, message_id, int(timestamp), body)
    signature = given.get(SIGNATURE_HEADER, "")
    findings += _tolerance_findings(timestamp, at)
    findings += _signature_findings(signature)
    if expected and not _malformed(signature) and not _contains(signature, expected):
        findings.append(_mismatch(given, body, secret, previous_secret))
    return VerdictOut(good=not findings, findings=findings, expected=expected)


def secret_findings(secret: str) -> Iterator[FindingOut]:
    """Yield the reason why a secret cannot be used, if there is one."""
    try:
        check_secret(secret)
    except ValueError as error:
        message = f"the secret is malformed: {error}, exactly as it was shown"
        if secret.startswith("sk-"):
            message = "this is an API key: expected the webhook's secret, which begins with whsec_"
        yield _finding("secret_invalid", RequestPart.SECRET, message)


def _header_findings(message_id: str, timestamp: str) -> Iterator[FindingOut]:
    if not message_id:
        yield _missing(RequestPart.ID)
    if not timestamp:
        yield _missing(RequestPart.TIMESTAMP)
    elif not _UNIX_SECONDS.fullmatch(timestamp):
        message = f"expected Unix time in whole seconds, got '{timestamp[:40]}'"
        yield _finding("timestamp_malformed", RequestPart.TIMESTAMP, message)


def _body_findings(body: bytes) -> Iterator[FindingOut]:
    if not body:
        message = f"the body is empty: it may have been read before; {_USE_RAW_BYTES}"
        yield _finding("body_changed", RequestPart.BODY, message)
    try:
        body.decode()
    except UnicodeDecodeError:
        message = f"the body is not UTF-8, which events always are; {_USE_RAW_BYTES}"
        yield _finding("body_changed", RequestPart.BODY, message)


def _signature_findings(signature: str) -> Iterator[FindingOut]:
    if not signature:
        yield _missing(RequestPart.SIGNATURE)
    elif _malformed(signature):
        message = "expected v1, and the base64 of an HMAC-SHA-256 digest; several are separated "
        yield _finding("signature_malformed", RequestPart.SIGNATURE, f"{message}by spaces")


def _tolerance_findings(timestamp: str, at: float) -> Iterator[FindingOut]:
    age = round(at) - int(timestamp) if _UNIX_SECONDS.fullmatch(timestamp) else 0
    if abs(age) > TOLERANCE_SECONDS:
        code, side = (
            ("timestamp_too_old", "before") if age > 0 else ("timestamp_in_future", "after")
        )
        message = (
            f"the timestamp is {abs(age)} s {side} the time of verification, and at most "
            f"{TOLERANCE_SECONDS} s are allowed: check the clocks, or verify an old request at the "
            "time it was sent"
        )
        yield _finding(code, RequestPart.TIMESTAMP, message)


def _mismatch(
    given: Mapping[str, str], body: bytes, secret: str, previous_secret: str | None
) -> FindingOut:
    """Return the most likely reason why no signature matches."""
    signature = given[SIGNATURE_HEADER]
    signed = given[ID_HEADER], int(given[TIMESTAMP_HEADER])
    usable = previous_secret is not None and not any(secret_findings(previous_secret))
    if usable and _contains(signature, sign(previous_secret or "", *signed, body)):
        message = "the request is signed with the previous secret: use the current one"
        return _finding("previous_secret", RequestPart.SECRET, message)
    compact = _compact_json(body)
    if compact is not None and _contains(signature, sign(secret, *signed, compact)):
        message = (
            "the signature matches the body as compact JSON: the body was parsed and serialised"
        )
        return _finding("body_changed", RequestPart.BODY, f"{message} again; {_USE_RAW_BYTES}")
    length = given.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length) != len(body):
        message = (
            f"content-length is {length}, but the body has {len(body)} bytes; {_USE_RAW_BYTES}"
        )
        return _finding("body_changed", RequestPart.BODY, message)
    message = (
        "no signature matches: the secret is wrong (another deployment's, or from before a "
        "rotation), or the body was changed on its way"
    )
    return _finding("signature_mismatch", RequestPart.SIGNATURE, message)


def _malformed(header: str) -> bool:
    return not any(_SIGNATURE.fullmatch(each) for each in header.split())


def _contains(header: str, expected: str) -> bool:
    return any(hmac.compare_digest(each.encode(), expected.encode()) for each in header.split())


def _compact_json(body: bytes) -> bytes | None:
    """Return the body as our sender would have written it, or None if it is not JSON."""
    try:
        return orjson.dumps(orjson.loads(body))
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return None


def _missing(part: RequestPart) -> FindingOut:
    return _finding("header_missing", part, f"the header {part} is missing")


def _finding(code: str, place: RequestPart, message: str) -> FindingOut:
    return FindingOut(code=code, place=place, message=message)
