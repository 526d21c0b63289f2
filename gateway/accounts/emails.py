"""E-mail addresses as names of users. Pure: whether mail arrives there is not our question."""

from __future__ import annotations

import re

from gateway.errors import GatewayError
from protos.errors import ErrorCode

MAX_EMAIL_LENGTH = 254
"""Characters of an address that SMTP can carry (RFC 5321)."""
_PATTERN = re.compile(r"[^\s@\x00-\x1f\x7f<>]{1,64}@[^\s@\x00-\x1f\x7f<>]{1,253}")


def normalize_email(text: str) -> str:
    """Return the address as it is kept, in lower case; raise VALIDATION_FAILED where it is none."""
    email = text.strip().lower()
    if len(email) > MAX_EMAIL_LENGTH or not _PATTERN.fullmatch(email):
        message = f"email: expected an address such as ada@example.com, got '{text[:80]}'"
        raise GatewayError(ErrorCode.VALIDATION_FAILED, message)
    return email
