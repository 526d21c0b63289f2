"""What is wrong with a secret, and the key that it was meant to be. Pure."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass

from gateway.webhooks.findings import Finding, Place
from gateway.webhooks.signature import LONGEST_KEY, SECRET_PREFIX, SHORTEST_KEY, key_of

_HEX = re.compile(r"(?:[0-9a-fA-F]{2}){24,64}")
_ASYMMETRIC = ("whsk_", "whpk_")
_API_KEY = "sk-"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadSecret:
    """A secret, read as it was probably meant."""

    text: str
    """Without white space and quotes around it."""
    key: bytes | None
    """None where it cannot be read at all."""
    faults: tuple[Finding, ...]


def read_secret(given: str) -> ReadSecret:
    """Return what a secret stands for, and what is wrong with how it is written."""
    text = given.strip().strip("\"'")
    faults = tuple(_faults(given, text))
    try:
        return ReadSecret(text=text, key=key_of(text), faults=faults)
    except ValueError:
        return ReadSecret(text=text, key=lenient(without_prefix(text)), faults=faults)


def without_prefix(text: str) -> str:
    """Return a secret's part after `whsec_`, however often that stands there."""
    while text.startswith(SECRET_PREFIX):
        text = text.removeprefix(SECRET_PREFIX)
    return text


def lenient(text: str) -> bytes | None:
    """Return what base64 stands for: of either alphabet, padded or not; None where it is none."""
    plain = text.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        decoded = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
    return decoded or None


def hex_key(text: str) -> bytes | None:
    """Return the bytes that hex digits stand for; None where it is anything else."""
    return bytes.fromhex(text) if _HEX.fullmatch(text) else None


def _faults(given: str, text: str) -> Iterator[Finding]:
    if not text:
        yield _fault("secret_empty", "there is no secret: it is empty")
        return
    if given.strip() != given:
        yield _fault(
            "secret_white_space",
            "the secret has white space around it, such as the line end of the file it was read "
            "from: strip it, or another key comes out",
        )
    if text != given.strip():
        yield _fault("secret_quoted", "the secret has quotes around it, which are not part of it")
    if text.startswith(_ASYMMETRIC):
        yield _fault(
            "secret_asymmetric",
            f"{text[:5]}… is a key for signatures v1a (ed25519): expected {SECRET_PREFIX}…",
        )
    elif text.startswith(_API_KEY):
        yield _fault(
            "secret_is_api_key",
            "sk-… is an API key: expected the webhook's own secret, which was shown when it was "
            "made; slipstream webhooks rotate DEPLOYMENT makes a new one",
        )
    else:
        yield from _form(text)


def _form(text: str) -> Iterator[Finding]:
    bare = without_prefix(text)
    if not text.startswith(SECRET_PREFIX):
        yield _fault(
            "secret_without_prefix",
            f"the secret does not begin with {SECRET_PREFIX}: give it whole, as it was shown; some "
            "libraries take it without, and some do not",
        )
    elif text != SECRET_PREFIX + bare:
        yield _fault("secret_prefix_twice", f"the secret begins with {SECRET_PREFIX} twice")
    key = lenient(bare)
    if hex_key(bare) is not None:
        yield _fault("secret_hex", "the secret is hex digits: expected base64 of the key's bytes")
    elif key is None:
        yield _fault(
            "secret_not_base64",
            f"what follows {SECRET_PREFIX} is not base64: it was cut, or changed",
        )
    elif not SHORTEST_KEY <= len(key) <= LONGEST_KEY:
        yield _fault(
            "secret_length",
            f"the secret decodes to {len(key)} bytes: expected {SHORTEST_KEY} to {LONGEST_KEY}; it "
            "was cut, or is no webhook secret",
        )
    elif "-" in bare or "_" in bare:
        yield _fault(
            "secret_url_safe",
            "the secret is written in the URL-safe alphabet (- and _): expected + and /",
        )
    elif len(bare) % 4:
        yield _fault(
            "secret_unpadded", "the secret lacks the = at its end: it was not copied whole"
        )


def _fault(code: str, message: str) -> Finding:
    return Finding(code=code, place=Place.SECRET, message=message)
