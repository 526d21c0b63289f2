"""Why a call was refused, in one sentence for the person who has made it."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.auth.keys import KEY_LENGTH, format_errors, is_well_formed
from gateway.auth.request_credentials import presented_key
from protos.errors import ErrorCode

_MAX_LENGTH = 300
_FIRST_ERROR_STATUS = 400
_BY_CODE: Mapping[str, str] = {
    ErrorCode.API_KEY_DEACTIVATED: "This key is deactivated: activate it, or use another one.",
    ErrorCode.API_KEY_EXPIRED: "This key has expired: use another one.",
    ErrorCode.API_KEY_FORBIDDEN: "This key does not open this deployment: use one that covers it.",
    ErrorCode.CANCELLED: "The client closed the connection before the answer.",
    ErrorCode.CSRF_FAILED: "A page called with a session: programs call with an API key.",
    ErrorCode.METHOD_NOT_ALLOWED: "Send a POST request: this was another method.",
    ErrorCode.NOT_FOUND: (
        "The key does not belong to this deployment, or the address has an error: compare both "
        "with the example code."
    ),
    ErrorCode.SESSION_INVALID: "The session has ended: programs call with an API key.",
    ErrorCode.UNSUPPORTED_MEDIA_TYPE: "Send the header Content-Type: application/json.",
}
_KEY_HEADERS = frozenset({b"api-key", b"apikey", b"api_key", b"x-api_key", b"x-apikey", b"x-key"})
"""What the header with the key is often called by mistake."""


def hint_for(
    status: int, code: str | None, message: str, headers: Mapping[bytes, bytes]
) -> str | None:
    """Return the reason of a refusal; None for a call that was not refused.

    `code` and `message` are those of the error; header names are in lower case.
    """
    if status < _FIRST_ERROR_STATUS:
        return None
    if code == ErrorCode.API_KEY_MISSING:
        return _missing_key(headers)
    if code == ErrorCode.API_KEY_INVALID:
        return _invalid_key(presented_key(headers) or "")
    if code == ErrorCode.INVALID_JSON and b"urlencoded" in headers.get(b"content-type", b""):
        return _BY_CODE[ErrorCode.UNSUPPORTED_MEDIA_TYPE]
    if code is not None and code in _BY_CODE:
        return _BY_CODE[code]
    sentence = message[:1].upper() + message[1:_MAX_LENGTH]
    return sentence if sentence.endswith((".", "!", "?")) else f"{sentence}."


def _missing_key(headers: Mapping[bytes, bytes]) -> str:
    wrong = next((name for name in headers if name in _KEY_HEADERS), None)
    if wrong is not None:
        return f"The header of the key is X-API-Key: this call has sent {wrong.decode('latin-1')}."
    if b"authorization" in headers:
        return "Send the key as X-API-Key, or as Authorization: Bearer, then a blank and the key."
    return "The call has no key: send it in the header X-API-Key."


def _invalid_key(key: str) -> str:
    if "*" in key:
        return "Replace the stars with your key."
    if is_well_formed(key):
        return "This key does not exist, or was deleted: create another one."
    if not key.startswith("sk-"):
        return "What was sent is no key: a key begins with sk-."
    if len(key) != KEY_LENGTH:
        return f"The key is not complete: it has {len(key)} of {KEY_LENGTH} characters."
    return f"The key has an error: {format_errors(key)[0]}."
