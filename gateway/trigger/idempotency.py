"""`Idempotency-Key`: the same call once more means the same run (docs/runs.md)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from gateway.errors import GatewayError
from gateway.runs.run import Idempotency
from protos.errors import ErrorCode

HEADER = b"idempotency-key"
_FORM = re.compile(rb"[\x21-\x7e]{1,255}")


def idempotency_of(
    headers: Mapping[bytes, bytes], deployment_id: str, body: bytes, *, required: bool
) -> Idempotency | None:
    """Return the caller's key with the fingerprint of what it called; None where it sent none.

    A key is a string of structured fields, in quotes (draft-ietf-httpapi-idempotency-key-header),
    and taken without them as well, which is what most clients send.

    Raises:
        GatewayError: INVALID_REQUEST where it is no key; IDEMPOTENCY_KEY_REQUIRED where there is
            none and the deployment demands one.
    """
    given = headers.get(HEADER)
    if given is None:
        if required:
            message = "Idempotency-Key: this deployment expects one with each call, such as a UUID"
            raise GatewayError(ErrorCode.IDEMPOTENCY_KEY_REQUIRED, message)
        return None
    key = given.strip()
    if len(key) > 1 and key.startswith(b'"') and key.endswith(b'"'):
        key = key[1:-1]
    if not _FORM.fullmatch(key):
        shown = key.decode("latin-1")[:40]
        message = f"Idempotency-Key: expected 1 to 255 visible ASCII characters, got '{shown}'"
        raise GatewayError(ErrorCode.INVALID_REQUEST, message)
    digest = hashlib.sha256(deployment_id.encode() + body)
    return Idempotency(key=key.decode(), fingerprint=digest.hexdigest())
