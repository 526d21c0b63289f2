"""The gateway's exceptions: an error for the caller, and a database that cannot be used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from protos.errors import ErrorCode
from telemetry.redaction import redact_message


class StorageError(Exception):
    """The database cannot be used: unreachable, damaged, or written by another version."""


class DatabaseAwayError(ConnectionError):
    """The database is known not to answer, and was not asked."""


class GatewayError(Exception):
    """An error that is reported to the caller.

    Messages often repeat the input: an API key in the wrong place is replaced by its mask.

    Attributes:
        code: the stable name; `protos/errors.py` maps it to the status of each transport.
        message: which field, what was expected, what was received, what to do.
        errors: for validation, a `{"detail", "pointer"}` for each field (RFC 9457).
        retry_after: seconds after which a retry may succeed; None if unknown.
        details: further members of the error body, such as `phase`.
        allowed: for METHOD_NOT_ALLOWED: the methods of the path.
        replayed: whether this is the result of an earlier call with the same Idempotency-Key.
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

    def with_details(self, **details: object) -> GatewayError:
        """Return the same error with further members of the body: one error may end many calls."""
        return GatewayError(
            self.code,
            self.message,
            errors=self.errors,
            retry_after=self.retry_after,
            details={**self.details, **details},
            allowed=self.allowed,
            replayed=self.replayed,
        )
