"""Error codes as HTTP: the one table, and the bodies (RFC 9457; `{"error"}` under /v2)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import orjson

from gateway.errors import GatewayError
from protos.errors import ErrorCode

HTTP_STATUS: Mapping[ErrorCode, int] = {
    ErrorCode.INVALID_JSON: 400,
    ErrorCode.INVALID_REQUEST: 400,
    ErrorCode.IDEMPOTENCY_KEY_REQUIRED: 400,
    ErrorCode.INVALID_INPUT: 422,
    ErrorCode.INVALID_TENSOR: 422,
    ErrorCode.VALIDATION_FAILED: 422,
    ErrorCode.INVALID_FLOW: 422,
    ErrorCode.INVALID_MODEL: 422,
    ErrorCode.API_KEY_MISSING: 401,
    ErrorCode.API_KEY_INVALID: 401,
    ErrorCode.API_KEY_DEACTIVATED: 401,
    ErrorCode.API_KEY_EXPIRED: 401,
    ErrorCode.API_KEY_FORBIDDEN: 403,
    ErrorCode.SESSION_INVALID: 401,
    ErrorCode.LOGIN_FAILED: 401,
    ErrorCode.CSRF_FAILED: 403,
    ErrorCode.ROLE_FORBIDDEN: 403,
    ErrorCode.NOT_FOUND: 404,
    ErrorCode.METHOD_NOT_ALLOWED: 405,
    ErrorCode.GONE: 410,
    ErrorCode.CONFLICT: 409,
    ErrorCode.DEPLOYMENT_PAUSED: 409,
    ErrorCode.RUN_FINISHED: 409,
    ErrorCode.IDEMPOTENCY_KEY_REUSED: 422,
    ErrorCode.NO_ACTIVE_INFERENCE: 409,
    ErrorCode.PAYLOAD_TOO_LARGE: 413,
    ErrorCode.UNSUPPORTED_MEDIA_TYPE: 415,
    ErrorCode.RATE_LIMITED: 429,
    ErrorCode.TOO_MANY_RUNS: 429,
    ErrorCode.TOO_MANY_FAILURES: 429,
    ErrorCode.HEADERS_TOO_LARGE: 431,
    ErrorCode.URL_TOO_LONG: 414,
    ErrorCode.REQUEST_TIMEOUT: 408,
    ErrorCode.TOO_MANY_CONNECTIONS: 503,
    ErrorCode.OVERLOADED: 429,
    ErrorCode.CANCELLED: 499,
    ErrorCode.INFERENCE_FAILED: 500,
    ErrorCode.FLOW_FAILED: 500,
    ErrorCode.RUN_CANCELLED: 409,
    ErrorCode.RUN_TIMEOUT: 504,
    ErrorCode.QUEUE_TIMEOUT: 503,
    ErrorCode.WORKER_LOST: 500,
    ErrorCode.INTERNAL: 500,
    ErrorCode.NOT_IMPLEMENTED: 501,
    ErrorCode.GATEWAY_STARTING: 503,
    ErrorCode.SHUTTING_DOWN: 503,
    ErrorCode.DATABASE_UNAVAILABLE: 503,
    ErrorCode.NO_WORKER: 503,
    ErrorCode.INFERENCE_SERVER_BOOTING: 503,
    ErrorCode.INFERENCE_SERVER_FAILED: 503,
    ErrorCode.INFERENCE_SERVER_UNAVAILABLE: 503,
    ErrorCode.DEADLINE_EXCEEDED: 504,
    ErrorCode.BLOCKED_TARGET: 422,
    ErrorCode.UPSTREAM_UNREACHABLE: 502,
}

V2_STATUS: Mapping[ErrorCode, int] = {
    **HTTP_STATUS,
    ErrorCode.INVALID_INPUT: 400,
    ErrorCode.INVALID_TENSOR: 400,
    ErrorCode.NO_ACTIVE_INFERENCE: 404,
}
"""The same under /v2, where the protocol's servers answer 400 for tensors and 404 for models."""

_WAIT_STATUSES = frozenset({429, 503})
_RETRY_STATUSES = frozenset({429, 503, 504})
RETRYABLE = frozenset(
    code
    for code, status in HTTP_STATUS.items()
    if status in _RETRY_STATUSES and code is not ErrorCode.RUN_TIMEOUT
) | {ErrorCode.REQUEST_TIMEOUT, ErrorCode.WORKER_LOST}
"""After which the same call may yet succeed: a run that was too slow once will be again."""

_REDUCED_CAPACITY = "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity"
_OUT_OF_CAPACITY = frozenset(
    {ErrorCode.TOO_MANY_CONNECTIONS, ErrorCode.QUEUE_TIMEOUT, ErrorCode.NO_WORKER}
)

Headers = list[tuple[bytes, bytes]]
Answer = tuple[int, Headers, bytes]


def problem_name(code: ErrorCode) -> str:
    """Return what a code is called in URLs."""
    return code.replace("_", "-")


def problem_title(code: ErrorCode) -> str:
    """Return what people call a code."""
    return code.replace("_", " ").capitalize()


def _members(code: ErrorCode) -> Mapping[str, object]:
    """Return what all problems of a code have in common."""
    page, registered = f"/problems/{problem_name(code)}", code in _OUT_OF_CAPACITY
    return {
        "type": _REDUCED_CAPACITY if registered else page,
        "title": "Temporary reduced capacity" if registered else problem_title(code),
        "status": HTTP_STATUS[code],
        "code": code.value,
        "retryable": code in RETRYABLE,
        "docs_url": page,
    }


_MEMBERS = {code: _members(code) for code in HTTP_STATUS}


def problem(error: GatewayError, request_id: bytes) -> Answer:
    """Return status, headers and body of an `application/problem+json` answer."""
    status = HTTP_STATUS[error.code]
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
    status = V2_STATUS[error.code]
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
