"""The inference server's one exception, and how the exceptions of others become it."""

from __future__ import annotations

from model_store.errors import StoreError
from protos.errors import ErrorCode, TensorError
from telemetry.logs import logger

_MESSAGE_LENGTH = 1000
"""Messages travel in HTTP/2 trailers, which peers limit to about 8 KiB."""


class InferenceError(Exception):
    """Something the caller must hear about.

    Attributes:
        code: the stable name; `protos.status` has its gRPC status.
        message: which tensor or model, what was expected, what came. One line.
        retry_after: seconds after which the same call may go well, where that is known.
    """

    def __init__(self, code: ErrorCode, message: str, *, retry_after: float | None = None) -> None:
        line = " ".join(message.split())
        if len(line) > _MESSAGE_LENGTH:
            line = f"{line[: _MESSAGE_LENGTH - 1]}…"
        super().__init__(line)
        self.code = code
        self.message = line
        self.retry_after = retry_after


def as_inference_error(error: Exception) -> InferenceError:
    """Return `error` as the caller shall see it; one that we did not foresee is logged instead."""
    match error:
        case InferenceError():
            return error
        case TensorError() | StoreError():
            return InferenceError(error.code, str(error))
        case MemoryError():
            return InferenceError(
                ErrorCode.INFERENCE_FAILED, "there is not enough memory for the call"
            )
        case _:
            logger(__name__).error("unexpected_error", exc_info=error)
            return InferenceError(
                ErrorCode.INTERNAL, "a fault of the inference server, see its log"
            )
