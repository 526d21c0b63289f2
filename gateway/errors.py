"""The gateway's one exception: a code, a message for people, and what a transport may add."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from protos.errors import ErrorCode
from telemetry.redaction import redact_message


class GatewayError(Exception):
    """Something the caller must hear about.

    Messages often repeat what came: an API key in the wrong place is replaced by its mask.

    Attributes:
        code: the stable name; each transport has one table that translates it.
        message: which field, what was expected, what came, what to do.
        errors: for validation, a `{"detail", "pointer"}` for each field (RFC 9457).
        retry_after: seconds after which a retry is worth it, where one is.
        details: further members of the error body, such as `phase`.
        allowed: of METHOD_NOT_ALLOWED, the methods that there are.
        replayed: whether this is what became of an earlier call with the same Idempotency-Key.
    """

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        *,
        errors: Sequence[Mapping[str, str]] = (),
        retry_after: float | None = None,
        details: Mapping[str, object] | None = None,
        allowed: Sequence[str] = (),
        replayed: bool = False,
    ) -> None:
        message = redact_message(message)
        super().__init__(message)
        self.code = code
        self.message = message
        self.errors = [
            {name: redact_message(text) for name, text in error.items()} for error in errors
        ]
        self.retry_after = retry_after
        self.details = details or {}
        self.allowed = allowed
        self.replayed = replayed
