"""Errors as HTTP responses: `application/problem+json` (RFC 9457), or `{"error": …}` under /v2."""

from __future__ import annotations

import math
from collections.abc import Mapping

import orjson

from gateway.errors import GatewayError
from protos.errors import ErrorCode

_WAIT_STATUSES = frozenset({429, 503})
_REDUCED_CAPACITY = "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity"
_OUT_OF_CAPACITY = frozenset(
    {
        ErrorCode.TOO_MANY_CONNECTIONS,
        ErrorCode.BODY_MEMORY_EXHAUSTED,
        ErrorCode.QUEUE_TIMEOUT,
        ErrorCode.NO_WORKER,
    }
)

Headers = list[tuple[bytes, bytes]]
Answer = tuple[int, Headers, bytes]


def problem_name(code: ErrorCode) -> str:
    """Return the code as it appears in URLs."""
    return code.replace("_", "-")


def problem_title(code: ErrorCode) -> str:
    """Return the code as a title."""
    return code.replace("_", " ").capitalize()


def _members(code: ErrorCode) -> Mapping[str, object]:
    """Return the members that all problems with this code share."""
    page, registered = f"/problems/{problem_name(code)}", code in _OUT_OF_CAPACITY
    return {
        "type": _REDUCED_CAPACITY if registered else page,
        "title": "Temporary reduced capacity" if registered else problem_title(code),
        "status": code.http_status,
        "code": code.value,
        "retryable": code.retryable,
        "docs_url": page,
    }


_MEMBERS = {code: _members(code) for code in ErrorCode}


def problem(error: GatewayError, request_id: bytes) -> Answer:
    """Return status, headers and body of an `application/problem+json` answer."""
    status = error.code.http_status
    body: dict[str, object] = {
        **_MEMBERS[error.code],
        "detail": error.message,
        "message": error.message,
        "request_id": request_id.decode(),
        **error.details,
    }
    if "flow_run_id" in error.details:
        body["instance"] = f"/node/flow-runs/{error.details['flow_run_id']}/"
    if error.errors:
        body["errors"] = list(error.errors)
    return status, _headers(b"application/problem+json", status, error), orjson.dumps(body)


def v2_error(error: GatewayError) -> Answer:
    """Return status, headers and body of an Open Inference Protocol error."""
    status = error.code.v2_status
    body = orjson.dumps({"error": error.message})
    return status, _headers(b"application/json", status, error), body


def _headers(content_type: bytes, status: int, error: GatewayError) -> Headers:
    headers = [(b"content-type", content_type)]
    if status in _WAIT_STATUSES:
        seconds = max(1, math.ceil(error.retry_after or 1))
        headers.append((b"retry-after", str(seconds).encode()))
    if error.allowed:
        headers.append((b"allow", ", ".join(error.allowed).encode()))
    if error.replayed:
        headers.append((b"idempotent-replayed", b"true"))
    if status == 401:  # noqa: PLR2004 - HTTP's own number
        headers.append((b"www-authenticate", b"ApiKey"))
    return headers
