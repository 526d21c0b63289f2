"""Error codes as gRPC statuses, the one table; and how a code travels beside its status.

A unary answer carries the code in the trailing metadata `slipstream-code`. On ModelStreamInfer a
failed call carries it in `infer_response.parameters["slipstream-code"]`. A peer that knows neither
(Triton, MLServer) still gives a code, by its status.
"""

from __future__ import annotations

from collections.abc import Mapping

from grpc import StatusCode

from protos import open_inference_pb2 as pb
from protos.errors import ErrorCode

CODE_KEY = "slipstream-code"

GRPC_STATUS: Mapping[ErrorCode, StatusCode] = {
    ErrorCode.INVALID_JSON: StatusCode.INVALID_ARGUMENT,
    ErrorCode.INVALID_REQUEST: StatusCode.INVALID_ARGUMENT,
    ErrorCode.INVALID_INPUT: StatusCode.INVALID_ARGUMENT,
    ErrorCode.INVALID_TENSOR: StatusCode.INVALID_ARGUMENT,
    ErrorCode.VALIDATION_FAILED: StatusCode.INVALID_ARGUMENT,
    ErrorCode.INVALID_FLOW: StatusCode.INVALID_ARGUMENT,
    ErrorCode.INVALID_MODEL: StatusCode.INVALID_ARGUMENT,
    ErrorCode.API_KEY_MISSING: StatusCode.UNAUTHENTICATED,
    ErrorCode.API_KEY_INVALID: StatusCode.UNAUTHENTICATED,
    ErrorCode.API_KEY_DEACTIVATED: StatusCode.UNAUTHENTICATED,
    ErrorCode.API_KEY_FORBIDDEN: StatusCode.PERMISSION_DENIED,
    ErrorCode.NOT_FOUND: StatusCode.NOT_FOUND,
    ErrorCode.METHOD_NOT_ALLOWED: StatusCode.UNIMPLEMENTED,
    ErrorCode.GONE: StatusCode.NOT_FOUND,
    ErrorCode.CONFLICT: StatusCode.FAILED_PRECONDITION,
    ErrorCode.NO_ACTIVE_INFERENCE: StatusCode.NOT_FOUND,
    ErrorCode.PAYLOAD_TOO_LARGE: StatusCode.RESOURCE_EXHAUSTED,
    ErrorCode.UNSUPPORTED_MEDIA_TYPE: StatusCode.INVALID_ARGUMENT,
    ErrorCode.OVERLOADED: StatusCode.RESOURCE_EXHAUSTED,
    ErrorCode.CANCELLED: StatusCode.CANCELLED,
    ErrorCode.INFERENCE_FAILED: StatusCode.INTERNAL,
    ErrorCode.INTERNAL: StatusCode.INTERNAL,
    ErrorCode.NOT_IMPLEMENTED: StatusCode.UNIMPLEMENTED,
    ErrorCode.GATEWAY_STARTING: StatusCode.UNAVAILABLE,
    ErrorCode.SHUTTING_DOWN: StatusCode.UNAVAILABLE,
    ErrorCode.DATABASE_UNAVAILABLE: StatusCode.UNAVAILABLE,
    ErrorCode.INFERENCE_SERVER_BOOTING: StatusCode.UNAVAILABLE,
    ErrorCode.INFERENCE_SERVER_FAILED: StatusCode.UNAVAILABLE,
    ErrorCode.INFERENCE_SERVER_UNAVAILABLE: StatusCode.UNAVAILABLE,
    ErrorCode.DEADLINE_EXCEEDED: StatusCode.DEADLINE_EXCEEDED,
}

_CODE_OF_STATUS: Mapping[StatusCode, ErrorCode] = {
    StatusCode.INVALID_ARGUMENT: ErrorCode.INVALID_TENSOR,
    StatusCode.NOT_FOUND: ErrorCode.NO_ACTIVE_INFERENCE,
    StatusCode.RESOURCE_EXHAUSTED: ErrorCode.OVERLOADED,
    StatusCode.DEADLINE_EXCEEDED: ErrorCode.DEADLINE_EXCEEDED,
    StatusCode.UNAVAILABLE: ErrorCode.INFERENCE_SERVER_UNAVAILABLE,
    StatusCode.UNIMPLEMENTED: ErrorCode.NOT_IMPLEMENTED,
    StatusCode.CANCELLED: ErrorCode.CANCELLED,
}


def stream_failure(call_id: str, code: ErrorCode, message: str) -> pb.ModelStreamInferResponse:
    """Return the message that answers one failed call of a stream, and leaves the stream open."""
    answer = pb.ModelStreamInferResponse(error_message=message)
    answer.infer_response.id = call_id
    answer.infer_response.parameters[CODE_KEY].string_param = code
    return answer


def code_of(status: StatusCode, name: str | None = None) -> ErrorCode:
    """Return the code that a peer meant: by its name where it sent a known one, else by status."""
    by_status = _CODE_OF_STATUS.get(status, ErrorCode.INFERENCE_FAILED)
    return ErrorCode.known(name) or by_status
