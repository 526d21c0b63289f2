"""A Predictor on one long-lived ModelStreamInfer stream.

A message on an open stream costs a fraction of a unary call. Calls are told apart by a number of
ours in `id`; the caller's own id is put back into the answer.
"""

from __future__ import annotations

import asyncio
from itertools import count

from google.protobuf.message import DecodeError

from gateway.errors import GatewayError
from protos import open_inference_pb2 as pb
from protos.errors import ErrorCode
from protos.methods import path_of
from protos.status import CODE_KEY, code_of
from telemetry.logs import logger
from transport import Connection, RpcError, Status

_BROKEN = "the connection to the inference server broke during the call; it is being restarted"
_METADATA_SECONDS = 10.0

Answer = asyncio.Future[pb.ModelInferResponse]

log = logger("gateway.upstream")


class StreamPredictor:
    """The stream and the calls that wait on it."""

    def __init__(self, connection: Connection, *, max_message_bytes: int) -> None:
        """Open the stream; raises RpcError where the connection is over."""
        self._connection = connection
        self._max_message_bytes = max_message_bytes
        self._most_queued_bytes = 2 * max_message_bytes
        self._loop = asyncio.get_running_loop()
        self._numbers = count(1)
        self._waiting: dict[str, Answer] = {}
        self._ended = False
        self.ended = asyncio.Event()
        """Set when the stream has ended: every call has failed, and no new one is taken."""
        self._stream = connection.open_stream(
            path_of("ModelStreamInfer"), on_message=self._answered, on_end=self._end
        )

    async def infer(self, request: pb.ModelInferRequest, timeout: float) -> pb.ModelInferResponse:
        """See Predictor."""
        if self._ended:
            raise unavailable()
        own_id, number = request.id, str(next(self._numbers))
        request.id = number
        message = request.SerializeToString()
        if len(message) > self._max_message_bytes:
            raise self._too_large(len(message))
        if self._stream.queued > self._most_queued_bytes:
            reason = "the inference server does not take what is sent to it already"
            raise GatewayError(ErrorCode.OVERLOADED, reason, retry_after=1)
        answer: Answer = self._loop.create_future()
        self._waiting[number] = answer
        expiry = self._loop.call_later(timeout, _expire, answer, timeout)
        self._stream.send(message)
        try:
            response = await answer
        finally:
            expiry.cancel()
            self._waiting.pop(number, None)
        response.id = own_id
        return response

    async def metadata(self, name: str, version: str) -> pb.ModelMetadataResponse:
        """See Predictor."""
        request = pb.ModelMetadataRequest(name=name, version=version).SerializeToString()
        try:
            raw = await self._connection.unary(
                path_of("ModelMetadata"), request, timeout=_METADATA_SECONDS
            )
        except RpcError as error:
            raise refusal(error) from None
        return pb.ModelMetadataResponse.FromString(raw)

    @property
    def in_flight(self) -> int:
        """How many calls wait for their answers."""
        return len(self._waiting)

    def _answered(self, raw: bytes) -> None:
        try:
            message = pb.ModelStreamInferResponse.FromString(raw)
        except DecodeError:
            log.warning("upstream_message_unreadable", size=len(raw))
            self._stream.cancel()  # nobody can know whose it was
            return
        response = message.infer_response
        answer = self._waiting.get(response.id)
        if answer is None or answer.done():
            return  # its caller has gone, or its time was up
        if message.error_message:
            answer.set_exception(_failure(message))
        else:
            answer.set_result(response)

    def _end(self, _status: Status) -> None:
        self._ended = True
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(unavailable())
        self.ended.set()

    def _too_large(self, size: int) -> GatewayError:
        message = (
            f"the tensors take {size} bytes, expected at most {self._max_message_bytes} "
            "(setting SLIPSTREAM_MAX_BODY_BYTES)"
        )
        return GatewayError(ErrorCode.PAYLOAD_TOO_LARGE, message)


def unavailable() -> GatewayError:
    """Return the error of a call whose connection is gone."""
    return GatewayError(ErrorCode.INFERENCE_SERVER_UNAVAILABLE, _BROKEN, retry_after=1)


def refusal(error: RpcError) -> GatewayError:
    """Return what a unary call's status says, as ours."""
    name = dict(error.trailers).get(CODE_KEY)
    code = code_of(error.code.name, name if isinstance(name, str) else None)
    return GatewayError(code, error.message or code)


def _failure(message: pb.ModelStreamInferResponse) -> GatewayError:
    name = message.infer_response.parameters[CODE_KEY].string_param
    code = ErrorCode.known(name) or ErrorCode.INFERENCE_FAILED
    return GatewayError(code, message.error_message)


def _expire(answer: Answer, timeout: float) -> None:
    if not answer.done():
        message = f"no answer from the inference server within {timeout:g} s"
        answer.set_exception(GatewayError(ErrorCode.DEADLINE_EXCEEDED, message))
