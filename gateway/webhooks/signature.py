"""Signatures of Standard Webhooks 1.0.0, symmetric: `v1,` and an HMAC-SHA-256. Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Sequence

ID_HEADER = "webhook-id"
TIMESTAMP_HEADER = "webhook-timestamp"
SIGNATURE_HEADER = "webhook-signature"

SECRET_PREFIX = "whsec_"  # noqa: S105 - the specification's, no secret
_SECRET_BYTES = 32
SHORTEST_KEY, LONGEST_KEY = 24, 64
"""Bytes of a key."""
VERSION = "v1"


def new_secret() -> str:
    """Return a new secret: `whsec_` and base64 of 32 random bytes."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def key_of(secret: str) -> bytes:
    """Return the key that a secret stands for.

    Raises:
        ValueError: it is not `whsec_` and base64 of 24 to 64 bytes.
    """
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(SECRET_PREFIX) or not SHORTEST_KEY <= len(key) <= LONGEST_KEY:
        message = f"expected {SECRET_PREFIX} and base64 of {SHORTEST_KEY} to {LONGEST_KEY} bytes"
        raise ValueError(message)
    return key


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """Return `v1,…` for a body that is sent under an id at a time (Unix seconds).

    Raises:
        ValueError: as `key_of`.
    """
    signed = b"%b.%d.%b" % (message_id.encode(), timestamp, body)
    digest = hmac.digest(key_of(secret), signed, hashlib.sha256)
    return f"{VERSION},{base64.b64encode(digest).decode()}"


def signature_header(
    secrets_in_force: Sequence[str], message_id: str, timestamp: int, body: bytes
) -> str:
    """Return the header's value: a signature by each secret, the newest first."""
    return " ".join(sign(secret, message_id, timestamp, body) for secret in secrets_in_force)
