"""A server of the protocol that knows nothing of ours: tritonclient's messages on plain grpc.

It answers as the test says, in whatever order the test says.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeAlias

import grpc
import grpc.aio
from tritonclient.grpc import service_pb2

# Any: tritonclient's generated classes have no types
Request: TypeAlias = Any
Answer: TypeAlias = Any
Context: TypeAlias = Any


class Abort(Exception):  # noqa: N818 - no error: what the test wants
    """Ends the whole stream with a status."""

    def __init__(self, status: grpc.StatusCode) -> None:
        super().__init__(status)
        self.status = status


async def echo(request: Request) -> Answer:
    """Answer with what came."""
    answer = service_pb2.ModelStreamInferResponse()
    answer.infer_response.id = request.id
    answer.infer_response.model_name = request.model_name
    answer.infer_response.raw_output_contents.extend(request.raw_input_contents)
    return answer


def failure(request: Request, message: str) -> Answer:
    """Return the answer to a call that failed, as Triton gives it: no code."""
    answer = service_pb2.ModelStreamInferResponse(error_message=message)
    answer.infer_response.id = request.id
    return answer


class StockServer:
    """Runs while it is used as a context."""

    def __init__(self, socket: Path) -> None:
        self.address = f"unix:{socket}"
        self.answer: Callable[[Request], Awaitable[Answer]] = echo
        """To one call of a stream: a message, bytes to send as they are, or None for no answer."""
        self.ready: bool | bytes | grpc.StatusCode = True
        self.metadata: Answer | grpc.StatusCode = service_pb2.ModelMetadataResponse()
        self.requests: list[Request] = []
        self.asked = asyncio.Event()
        """Set at each request for readiness."""
        self.left = asyncio.Event()
        """Set when a stream has ended."""
        self.received: asyncio.Queue[Request] = asyncio.Queue()
        self.reading = asyncio.Event()
        """While it is not set, streams are not read (any further than the next call)."""
        self.reading.set()
        self._server: grpc.aio.Server | None = None

    async def __aenter__(self) -> StockServer:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen, the first time or again."""
        options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self._server = grpc.aio.server(options=options)
        methods = {
            "ModelReady": grpc.unary_unary_rpc_method_handler(
                self._model_ready, service_pb2.ModelReadyRequest.FromString, _serialised
            ),
            "ModelMetadata": grpc.unary_unary_rpc_method_handler(
                self._model_metadata, service_pb2.ModelMetadataRequest.FromString, _serialised
            ),
            "ModelStreamInfer": grpc.stream_stream_rpc_method_handler(
                self._model_stream_infer, service_pb2.ModelInferRequest.FromString, _serialised
            ),
        }
        service = "inference.GRPCInferenceService"
        handler = grpc.method_handlers_generic_handler(service, methods)
        self._server.add_generic_rpc_handlers((handler,))
        self._server.add_insecure_port(self.address)
        await self._server.start()

    async def stop(self) -> None:
        """Break every connection."""
        if self._server is not None:
            await self._server.stop(0)

    async def _model_ready(self, _: Request, context: Context) -> Answer:
        self.asked.set()
        if isinstance(self.ready, grpc.StatusCode):
            await context.abort(self.ready, "not now")
        if isinstance(self.ready, bytes):
            return self.ready
        return service_pb2.ModelReadyResponse(ready=self.ready)

    async def _model_metadata(self, request: Request, context: Context) -> Answer:
        if isinstance(self.metadata, grpc.StatusCode):
            await context.abort(self.metadata, f"no metadata of {request.name}")
        return self.metadata

    async def _model_stream_infer(self, _: AsyncIterator[Request], context: Context) -> None:
        writing = asyncio.Lock()  # grpc takes one write at a time
        try:
            async with asyncio.TaskGroup() as calls:
                while await self.reading.wait():
                    request = await context.read()
                    if request is grpc.aio.EOF:
                        return
                    self.requests.append(request)
                    self.received.put_nowait(request)
                    calls.create_task(self._answer(request, context, writing))
        except* Abort as group:
            (abort, *_) = group.exceptions
            assert isinstance(abort, Abort)
            await context.abort(abort.status, "the stream is over")
        finally:
            self.left.set()

    async def _answer(self, request: Request, context: Context, writing: asyncio.Lock) -> None:
        answer = await self.answer(request)
        if answer is not None:
            async with writing:
                await context.write(answer)


def _serialised(message: Any) -> bytes:
    serialised: bytes = message if isinstance(message, bytes) else message.SerializeToString()
    return serialised
