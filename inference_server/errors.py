"""The one exception of the inference server, and what other exceptions become."""

from __future__ import annotations

from model_store.errors import StoreError
from protos.errors import ErrorCode, TensorError
from telemetry.logs import logger

_MAX_MESSAGE_LENGTH = 1000
"""Messages travel in HTTP/2 trailers, which peers limit to about 8 KiB."""


class InferenceError(Exception):
    """An error that is sent to the client.

    Attributes:
        code: the stable name; `protos.status` has its gRPC status.
        message: which tensor or model, what was expected, what came. One line.
        retry_after: seconds after which the same call may succeed, if known.
    """

    def __init__(self, code: ErrorCode, message: str, *, retry_after: float | None = None) -> None:
        line = " ".join(message.split())
        if len(line) > _MAX_MESSAGE_LENGTH:
            line = f"{line[: _MAX_MESSAGE_LENGTH - 1]}…"
        super().__init__(line)
        self.code = code
        self.message = line
        self.retry_after = retry_after


def as_inference_error(error: Exception) -> InferenceError:
    """Return `error` as the client sees it; an unexpected one is logged and becomes INTERNAL."""
    match error:
        case InferenceError():
            return error
        case TensorError() | StoreError():
            return InferenceError(error.code, str(error))
        case MemoryError():
            message = "not enough memory for the call"
            return InferenceError(ErrorCode.INFERENCE_TOO_LARGE, message)
        case _:
            logger(__name__).error("unexpected_error", exc_info=error)
            message = "internal error of the inference server; see its log"
            return InferenceError(ErrorCode.INTERNAL, message)
