"""One ModelInfer call: the caller whose answer is a future."""

from __future__ import annotations

import asyncio

from inference_server.data_plane.calls import InferenceCall
from inference_server.data_plane.served_model import ServedModel
from inference_server.errors import InferenceError
from protos.errors import ErrorCode
from protos.status import CODE_KEY, PUSHBACK_KEY
from transport import RpcError, StatusCode


class UnaryInference:
    """Starts the call; `answer` then is the encoded answer, or raises RpcError."""

    streamed = False

    def __init__(self, plane: ServedModel, message: bytes, timeout: float | None) -> None:
        """Start a call that may take `timeout` seconds; cancelling `answer` abandons it."""
        self._plane = plane
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._call = plane.start(message, self, timeout)
        if self._call is not None:
            self.answer.add_done_callback(self._abandon_if_cancelled)

    def answered(self, _call: InferenceCall, message: bytes) -> None:
        """Take the answer."""
        self.answer.set_result(message)

    def cancel(self, _call_id: str) -> None:
        """Say that this is no way to cancel: a unary call is cancelled by its client's leaving."""
        text = "a unary call cannot cancel another one"
        self.failed(None, "", InferenceError(ErrorCode.INVALID_REQUEST, text))

    def failed(self, _call: InferenceCall | None, _call_id: str, error: InferenceError) -> None:
        """Take the reason why there is none."""
        self.answer.set_exception(to_rpc_error(error))

    def _abandon_if_cancelled(self, answer: asyncio.Future[bytes]) -> None:
        if answer.cancelled() and self._call is not None:
            self._plane.abandon(self._call)


def to_rpc_error(error: InferenceError) -> RpcError:
    """Return `error` as its status, with code and waiting time in the trailing metadata."""
    trailers = [(CODE_KEY, error.code.value)]
    if error.retry_after is not None:
        trailers.append((PUSHBACK_KEY, str(round(error.retry_after * 1e3))))
    return RpcError(StatusCode[error.code.grpc_status], error.message, tuple(trailers))
