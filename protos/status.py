"""Error codes as gRPC statuses, by name, the one table; and how a code travels beside its status.

A unary answer carries the code in the trailing metadata `slipstream-code`. On ModelStreamInfer a
failed call carries it in `infer_response.parameters["slipstream-code"]`. A peer that knows neither
(Triton, MLServer) still gives a code, by its status.
"""

from __future__ import annotations

from collections.abc import Mapping

from protos import open_inference_pb2 as pb
from protos.errors import ErrorCode

CODE_KEY = "slipstream-code"
PUSHBACK_KEY = "grpc-retry-pushback-ms"
"""Trailing metadata of a unary call: when it may be tried again (gRFC A6)."""
RETRY_KEY = "slipstream-retry-seconds"
"""The same as a parameter of a failed call of a stream (double)."""

GRPC_STATUS: Mapping[ErrorCode, str] = {
    ErrorCode.INVALID_JSON: "INVALID_ARGUMENT",
    ErrorCode.INVALID_REQUEST: "INVALID_ARGUMENT",
    ErrorCode.INVALID_INPUT: "INVALID_ARGUMENT",
    ErrorCode.INVALID_TENSOR: "INVALID_ARGUMENT",
    ErrorCode.IDEMPOTENCY_KEY_REQUIRED: "INVALID_ARGUMENT",
    ErrorCode.VALIDATION_FAILED: "INVALID_ARGUMENT",
    ErrorCode.INVALID_FLOW: "INVALID_ARGUMENT",
    ErrorCode.INVALID_MODEL: "INVALID_ARGUMENT",
    ErrorCode.API_KEY_MISSING: "UNAUTHENTICATED",
    ErrorCode.API_KEY_INVALID: "UNAUTHENTICATED",
    ErrorCode.API_KEY_DEACTIVATED: "UNAUTHENTICATED",
    ErrorCode.API_KEY_EXPIRED: "UNAUTHENTICATED",
    ErrorCode.API_KEY_FORBIDDEN: "PERMISSION_DENIED",
    ErrorCode.SESSION_INVALID: "UNAUTHENTICATED",
    ErrorCode.LOGIN_FAILED: "UNAUTHENTICATED",
    ErrorCode.CSRF_FAILED: "PERMISSION_DENIED",
    ErrorCode.ROLE_FORBIDDEN: "PERMISSION_DENIED",
    ErrorCode.NOT_FOUND: "NOT_FOUND",
    ErrorCode.METHOD_NOT_ALLOWED: "UNIMPLEMENTED",
    ErrorCode.GONE: "NOT_FOUND",
    ErrorCode.CONFLICT: "FAILED_PRECONDITION",
    ErrorCode.DEPLOYMENT_PAUSED: "FAILED_PRECONDITION",
    ErrorCode.RUN_FINISHED: "FAILED_PRECONDITION",
    ErrorCode.IDEMPOTENCY_KEY_REUSED: "INVALID_ARGUMENT",
    ErrorCode.NO_ACTIVE_INFERENCE: "NOT_FOUND",
    ErrorCode.PAYLOAD_TOO_LARGE: "RESOURCE_EXHAUSTED",
    ErrorCode.UNSUPPORTED_MEDIA_TYPE: "INVALID_ARGUMENT",
    ErrorCode.RATE_LIMITED: "RESOURCE_EXHAUSTED",
    ErrorCode.TOO_MANY_RUNS: "RESOURCE_EXHAUSTED",
    ErrorCode.TOO_MANY_FAILURES: "RESOURCE_EXHAUSTED",
    ErrorCode.HEADERS_TOO_LARGE: "RESOURCE_EXHAUSTED",
    ErrorCode.URL_TOO_LONG: "RESOURCE_EXHAUSTED",
    ErrorCode.REQUEST_TIMEOUT: "ABORTED",
    ErrorCode.TOO_MANY_CONNECTIONS: "UNAVAILABLE",
    ErrorCode.OVERLOADED: "RESOURCE_EXHAUSTED",
    ErrorCode.CANCELLED: "CANCELLED",
    ErrorCode.INFERENCE_FAILED: "INTERNAL",
    ErrorCode.FLOW_FAILED: "INTERNAL",
    ErrorCode.RUN_CANCELLED: "CANCELLED",
    ErrorCode.RUN_TIMEOUT: "DEADLINE_EXCEEDED",
    ErrorCode.QUEUE_TIMEOUT: "UNAVAILABLE",
    ErrorCode.WORKER_LOST: "INTERNAL",
    ErrorCode.INTERNAL: "INTERNAL",
    ErrorCode.NOT_IMPLEMENTED: "UNIMPLEMENTED",
    ErrorCode.GATEWAY_STARTING: "UNAVAILABLE",
    ErrorCode.SHUTTING_DOWN: "UNAVAILABLE",
    ErrorCode.DATABASE_UNAVAILABLE: "UNAVAILABLE",
    ErrorCode.NO_WORKER: "UNAVAILABLE",
    ErrorCode.INFERENCE_SERVER_BOOTING: "UNAVAILABLE",
    ErrorCode.INFERENCE_SERVER_FAILED: "UNAVAILABLE",
    ErrorCode.INFERENCE_SERVER_UNAVAILABLE: "UNAVAILABLE",
    ErrorCode.DEADLINE_EXCEEDED: "DEADLINE_EXCEEDED",
    ErrorCode.BLOCKED_TARGET: "INVALID_ARGUMENT",
    ErrorCode.UPSTREAM_UNREACHABLE: "UNAVAILABLE",
}

_CODE_OF_STATUS: Mapping[str, ErrorCode] = {
    "INVALID_ARGUMENT": ErrorCode.INVALID_TENSOR,
    "NOT_FOUND": ErrorCode.NO_ACTIVE_INFERENCE,
    "RESOURCE_EXHAUSTED": ErrorCode.OVERLOADED,
    "DEADLINE_EXCEEDED": ErrorCode.DEADLINE_EXCEEDED,
    "UNAVAILABLE": ErrorCode.INFERENCE_SERVER_UNAVAILABLE,
    "UNIMPLEMENTED": ErrorCode.NOT_IMPLEMENTED,
    "CANCELLED": ErrorCode.CANCELLED,
}


def stream_failure(
    call_id: str, code: ErrorCode, message: str, retry_after: float | None = None
) -> pb.ModelStreamInferResponse:
    """Return the message that answers one failed call of a stream, and leaves the stream open."""
    answer = pb.ModelStreamInferResponse(error_message=message)
    answer.infer_response.id = call_id
    answer.infer_response.parameters[CODE_KEY].string_param = code
    if retry_after is not None:
        answer.infer_response.parameters[RETRY_KEY].double_param = retry_after
    return answer


def code_of(status: str, name: str | None = None) -> ErrorCode:
    """Return the code that a peer meant: by its name where it sent a known one, else by status."""
    by_status = _CODE_OF_STATUS.get(status, ErrorCode.INFERENCE_FAILED)
    return ErrorCode.known(name) or by_status
