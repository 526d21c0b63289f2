"""One ModelStreamInfer stream: many calls at once, each answered by itself, in any order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from google.protobuf.message import DecodeError

from inference_server.batching import Job
from inference_server.dataplane import DataPlane
from inference_server.errors import InferenceError
from inference_server.lifecycle import Lifecycle
from protos import open_inference_pb2 as pb
from protos.errors import ErrorCode
from protos.status import CODE_KEY, GRPC_STATUS, stream_failure
from transport import StatusCode, StreamCall

_MOST_QUEUED_BYTES = 8 * 1024 * 1024
"""Of answers that the client has not taken: beyond it, no more of its calls are read."""


class InferenceStream:
    """Starts each call as it arrives, and sends each answer as it is there.

    All that arrived in one read is started before any of it runs, so that it can share a run. What
    waits is bounded by the executor's queue, and for a client that does not listen by `pause`.
    """

    def __init__(
        self,
        plane: DataPlane,
        lifecycle: Lifecycle,
        call: StreamCall,
        on_end: Callable[[InferenceStream], None],
    ) -> None:
        self._plane = plane
        self._lifecycle = lifecycle
        self._call = call
        self._on_end = on_end
        self._jobs: dict[int, Job] = {}
        self._numbers = 0
        self._ending = False
        self._resuming: asyncio.Task[None] | None = None

    def messages(self, messages: list[bytes]) -> None:
        """Start the calls that arrived in one read."""
        for raw in messages:
            try:
                request = pb.ModelInferRequest.FromString(raw)
            except DecodeError:
                message = f"the {len(raw)} bytes of the request are no message of this method"
                self._call.send(
                    stream_failure("", ErrorCode.INVALID_REQUEST, message).SerializeToString()
                )
                continue
            self._start(request)

    def half_closed(self) -> None:
        """End when everything is answered: no more calls will come."""
        self._ending = True
        self._end_if_done()

    def cancelled(self) -> None:
        """Forget the calls: nobody waits for their answers."""
        for job in self._jobs.values():
            self._plane.abandon(job)
        self._jobs.clear()
        self._on_end(self)

    def close(self) -> None:
        """End when everything is answered: we are shutting down, and new calls are refused."""
        self.half_closed()

    def _start(self, request: pb.ModelInferRequest) -> None:
        self._numbers += 1
        number, call_id = self._numbers, request.id

        def answered(result: pb.ModelInferResponse | InferenceError) -> None:
            self._jobs.pop(number, None)
            if isinstance(result, InferenceError):
                answer = stream_failure(call_id, result.code, result.message)
            else:
                answer = pb.ModelStreamInferResponse(infer_response=result)
            self._send(answer.SerializeToString())
            if self._ending:
                self._end_if_done()

        job = self._plane.start(request, answered)
        if job is not None:
            self._jobs[number] = job

    def _send(self, message: bytes) -> None:
        if self._call.send(message) > _MOST_QUEUED_BYTES and self._resuming is None:
            self._call.pause()
            self._resuming = asyncio.get_running_loop().create_task(self._resume())

    async def _resume(self) -> None:
        await self._call.flushed()
        self._resuming = None
        self._call.resume()

    def _end_if_done(self) -> None:
        if self._jobs:
            return
        self._on_end(self)
        try:
            self._lifecycle.check_ready()
        except InferenceError as error:
            status = StatusCode[GRPC_STATUS[error.code]]
            self._call.finish(status, error.message, ((CODE_KEY, error.code.value),))
        else:
            self._call.finish()
