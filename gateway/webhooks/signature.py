"""Signatures as Standard Webhooks 1.0.0 defines them: scheme `v1`, HMAC-SHA-256 of a shared secret.

Pure. The scheme itself is the library's (`standardwebhooks`).
"""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime

from standardwebhooks.webhooks import Webhook

ID_HEADER = "webhook-id"
TIMESTAMP_HEADER = "webhook-timestamp"
SIGNATURE_HEADER = "webhook-signature"

SECRET_PREFIX = "whsec_"  # nosec B105 # the specification's prefix, not a secret
_SECRET_BYTES = 32
_MIN_KEY_BYTES, _MAX_KEY_BYTES = 24, 64


def new_secret() -> str:
    """Return a new secret: `whsec_` and base64 of 32 random bytes."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def check_secret(secret: str) -> None:
    """Check that a secret is well-formed; the library itself accepts any base64.

    Raises:
        ValueError: it is not `whsec_` and base64 of 24 to 64 bytes.
    """
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(SECRET_PREFIX) or not _MIN_KEY_BYTES <= len(key) <= _MAX_KEY_BYTES:
        message = (
            f"expected {SECRET_PREFIX} and base64 of {_MIN_KEY_BYTES} to {_MAX_KEY_BYTES} bytes"
        )
        raise ValueError(message)


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """Return `v1,…`, the signature of a body (UTF-8) with this id and time (Unix seconds)."""
    return Webhook(secret).sign(message_id, datetime.fromtimestamp(timestamp, UTC), body.decode())


def signature_header(
    active_secrets: Sequence[str], message_id: str, timestamp: int, body: bytes
) -> str:
    """Return the value of `webhook-signature`: one signature per active secret, newest first."""
    return " ".join(sign(secret, message_id, timestamp, body) for secret in active_secrets)
