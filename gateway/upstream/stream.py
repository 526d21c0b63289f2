"""A Predictor on one long-lived ModelStreamInfer stream of stock grpc.aio.

A unary call costs about twice what a message on an open stream does. Calls are told apart by a
number of ours in `id`; the caller's own id is put back into the answer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import count
from typing import Any

import grpc
import grpc.aio

from gateway.errors import GatewayError
from protos import open_inference_pb2 as pb
from protos.errors import ErrorCode
from protos.service import InferenceStub
from protos.status import CODE_KEY, code_of

_BROKEN = "the connection to the inference server broke during the call; it is being restarted"
_METADATA_SECONDS = 10.0

Answer = asyncio.Future[pb.ModelInferResponse]


class StreamPredictor:
    """The stream and the calls that wait on it. `serve` runs it and returns when it has ended."""

    def __init__(self, stub: InferenceStub, *, max_message_bytes: int) -> None:
        self._stub = stub
        self._max_message_bytes = max_message_bytes
        self._stream: Any = stub.ModelStreamInfer()  # Any: grpc's call types are not generic here
        self._numbers = count(1)
        self._waiting: dict[str, Answer] = {}
        self._outbox: deque[pb.ModelInferRequest] = deque()
        self._filled = asyncio.Event()
        self._closed = False

    async def infer(self, request: pb.ModelInferRequest, timeout: float) -> pb.ModelInferResponse:
        """See Predictor."""
        if self._closed:
            raise unavailable()
        loop = asyncio.get_running_loop()
        own_id, number = request.id, str(next(self._numbers))
        request.id = number
        if request.ByteSize() > self._max_message_bytes:  # our id counts, too
            raise self._too_large(request.ByteSize())
        answer: Answer = loop.create_future()
        self._waiting[number] = answer
        expiry = loop.call_later(timeout, _expire, answer, timeout)
        self._outbox.append(request)
        self._filled.set()
        try:
            response = await answer
        finally:
            expiry.cancel()
            self._waiting.pop(number, None)
        response.id = own_id
        return response

    async def metadata(self, name: str, version: str) -> pb.ModelMetadataResponse:
        """See Predictor."""
        request = pb.ModelMetadataRequest(name=name, version=version)
        try:
            response: pb.ModelMetadataResponse = await self._stub.ModelMetadata(
                request, timeout=_METADATA_SECONDS
            )
        except grpc.aio.AioRpcError as error:
            raise refusal(error) from None
        return response

    async def serve(self) -> None:
        """Write requests and hand out answers until the stream ends, then fail what still waits."""
        writer = asyncio.create_task(self._write(), name="upstream writer")
        try:
            await self._read()
        except grpc.aio.AioRpcError:
            return  # the stream's end is all that matters: the Link connects anew
        finally:
            self._closed = True
            writer.cancel()
            self._stream.cancel()
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(unavailable())
            await asyncio.gather(writer, return_exceptions=True)

    def _too_large(self, size: int) -> GatewayError:
        message = (
            f"the tensors take {size} bytes, expected at most {self._max_message_bytes} "
            "(setting SLIPSTREAM_MAX_BODY_BYTES)"
        )
        return GatewayError(ErrorCode.PAYLOAD_TOO_LARGE, message)

    @property
    def in_flight(self) -> int:
        """How many calls wait for their answers."""
        return len(self._waiting)

    async def _write(self) -> None:
        while True:
            while self._outbox:
                request = self._outbox.popleft()
                if request.id in self._waiting:  # else its caller has gone, or its time was up
                    await self._stream.write(request)
            self._filled.clear()
            await self._filled.wait()

    async def _read(self) -> None:
        while (message := await self._stream.read()) is not grpc.aio.EOF:
            if message is None:
                return  # bytes that are no answer: whose call it was, nobody can tell
            response = message.infer_response
            answer = self._waiting.get(response.id)
            if answer is None or answer.done():
                continue  # its caller has gone, or its time was up
            if message.error_message:
                answer.set_exception(_failure(message))
            else:
                answer.set_result(response)


def unavailable() -> GatewayError:
    """Return the error of a call whose connection is gone."""
    return GatewayError(ErrorCode.INFERENCE_SERVER_UNAVAILABLE, _BROKEN, retry_after=1)


def refusal(error: grpc.aio.AioRpcError) -> GatewayError:
    """Return what a unary call's status says, as ours."""
    trailing = dict(error.trailing_metadata() or ())
    name = trailing.get(CODE_KEY)
    code = code_of(error.code(), name if isinstance(name, str) else None)
    return GatewayError(code, error.details() or code)


def _failure(message: pb.ModelStreamInferResponse) -> GatewayError:
    name = message.infer_response.parameters[CODE_KEY].string_param
    code = ErrorCode.known(name) or ErrorCode.INFERENCE_FAILED
    return GatewayError(code, message.error_message)


def _expire(answer: Answer, timeout: float) -> None:
    if not answer.done():
        message = f"no answer from the inference server within {timeout:g} s"
        answer.set_exception(GatewayError(ErrorCode.DEADLINE_EXCEEDED, message))
