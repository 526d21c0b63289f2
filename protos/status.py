"""How an error code travels over gRPC, beside its status.

A unary response carries the code in the trailing metadata `slipstream-code`; a failed call on
ModelStreamInfer carries it in `infer_response.parameters["slipstream-code"]`. For a peer that sends
neither (Triton, MLServer), the status is mapped to a code.
"""

from __future__ import annotations

from collections.abc import Mapping

from protos import open_inference_pb2 as pb
from protos.errors import ErrorCode

CODE_KEY = "slipstream-code"
PUSHBACK_KEY = "grpc-retry-pushback-ms"
"""Trailing metadata of a unary call: milliseconds until a retry (gRFC A6)."""
RETRY_KEY = "slipstream-retry-seconds"
"""Parameter of a failed call on a stream: seconds until a retry (double)."""

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
    """Return the response to one failed call on a stream; the stream stays open."""
    answer = pb.ModelStreamInferResponse(error_message=message)
    answer.infer_response.id = call_id
    answer.infer_response.parameters[CODE_KEY].string_param = code
    if retry_after is not None:
        answer.infer_response.parameters[RETRY_KEY].double_param = retry_after
    return answer


def code_of(status: str, name: str | None = None) -> ErrorCode:
    """Return the code that a peer reported by name; if it sent no known one, the status's code."""
    by_status = _CODE_OF_STATUS.get(status, ErrorCode.INFERENCE_FAILED)
    return ErrorCode.known(name) or by_status
