"""One ModelStreamInfer stream: many calls at once, each answered by itself, in any order."""

from __future__ import annotations

import asyncio

import grpc.aio

from inference_server.dataplane import DataPlane
from inference_server.errors import InferenceError
from inference_server.lifecycle import Lifecycle
from protos import open_inference_pb2 as pb
from protos.errors import ErrorCode
from protos.interception import UnreadableError
from protos.service import Context
from protos.status import stream_failure


class InferenceStream:
    """Reads calls and writes answers until the client is done, is gone, or the server drains.

    Nothing is read while an answer is being written: a client that sends and does not listen is
    then stopped by HTTP/2's flow control. What was read is bounded by the executor's queue.
    """

    def __init__(self, plane: DataPlane, lifecycle: Lifecycle, context: Context) -> None:
        self._plane = plane
        self._lifecycle = lifecycle
        self._context = context
        self._writing = asyncio.Lock()
        self._reader: asyncio.Task[None] | None = None
        self._reading = False
        self._closing = False

    async def serve(self) -> None:
        """Answer calls. Return when the client is done, raise SHUTTING_DOWN when we are."""
        async with asyncio.TaskGroup() as calls:
            self._reader = calls.create_task(self._read(calls))
        if self._closing:
            self._lifecycle.check_ready()

    def close(self) -> None:
        """Read no further; `serve` returns when every call that was read has its answer."""
        self._closing = True
        if self._reader and self._reading:
            self._reader.cancel()

    async def _read(self, calls: asyncio.TaskGroup) -> None:
        while True:
            async with self._writing:
                pass
            if self._closing:
                return
            self._reading = True
            request = await self._context.read()
            self._reading = False
            if request is grpc.aio.EOF:
                return
            if isinstance(request, UnreadableError):
                await self._write(stream_failure("", ErrorCode.INVALID_REQUEST, str(request)))
                continue
            calls.create_task(self._answer(request))

    async def _answer(self, request: pb.ModelInferRequest) -> None:
        call_id = request.id
        try:
            response = await self._plane.infer(request)
        except InferenceError as error:
            await self._write(stream_failure(call_id, error.code, error.message))
        else:
            await self._write(pb.ModelStreamInferResponse(infer_response=response))

    async def _write(self, answer: pb.ModelStreamInferResponse) -> None:
        async with self._writing:  # grpc takes one write at a time
            await self._context.write(answer)
