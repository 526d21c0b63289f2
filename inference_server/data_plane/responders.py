"""The two gRPC methods that run inference: ModelStreamInfer and ModelInfer.

Both take encoded requests, submit them to the served model, and send the outcomes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter

from inference_server.data_plane.busy_poll import ActiveStreams, ArrivalRate
from inference_server.data_plane.calls import PendingCall
from inference_server.data_plane.served_model import ServedModel
from inference_server.errors import InferenceError
from inference_server.lifecycle import Lifecycle
from protos.errors import ErrorCode
from protos.status import CODE_KEY, PUSHBACK_KEY, stream_failure
from transport import RpcError, StatusCode, StreamCall

_MAX_QUEUED_BYTES = 8 * 1024 * 1024
"""Of responses that the client has not read: beyond it, no more of its requests are read."""


class StreamResponder:
    """A ModelStreamInfer stream: many calls at once, answered in any order.

    All messages of one read are submitted before any runs, so that they can share a run. Waiting
    calls are bounded by the executor's queue; unread responses by pausing the stream.
    """

    streamed = True

    def __init__(
        self,
        model: ServedModel,
        lifecycle: Lifecycle,
        call: StreamCall,
        *,
        arrival_rate: ArrivalRate,
        active_streams: ActiveStreams,
        on_end: Callable[[StreamResponder], None],
    ) -> None:
        """Serve the stream `call`.

        Args:
            model: answers the requests.
            lifecycle: decides the status that the stream ends with.
            call: the stream.
            arrival_rate: decides whether to poll for the next message.
            active_streams: decides whether something may have arrived on another stream.
            on_end: called once this stream has ended.
        """
        self._model = model
        self._lifecycle = lifecycle
        self._call = call
        self._arrival_rate = arrival_rate
        self._active_streams = active_streams
        self._on_end = on_end
        self._calls: set[PendingCall] = set()
        self._ending = False
        self._resume_task: asyncio.Task[None] | None = None

    # called by the connection

    def messages(self, messages: list[bytes]) -> None:
        """Submit the requests that arrived in one read, and run them."""
        now = perf_counter()
        self._arrival_rate.record_arrival(len(messages), now)
        model, calls = self._model, self._calls
        for message in messages:
            call = model.submit(message, self, now)
            if call is not None:
                calls.add(call)
        if not self._active_streams.is_sole(self, now):
            model.flush_soon()
            return
        model.flush()
        if not calls and self._arrival_rate.is_tight_loop(perf_counter()) and not self._ending:
            self._call.busy_poll(self._arrival_rate.spin_seconds)

    def half_closed(self) -> None:
        """End once everything is answered: the client sends no more requests."""
        self._ending = True
        self._end_if_done()

    def cancelled(self) -> None:
        """Drop the calls: the client has left."""
        for call in self._calls:
            self._model.cancel(call)
        self._calls.clear()
        self._on_end(self)

    # called by the server

    def close(self) -> None:
        """End once everything is answered: the server is draining and refuses new calls."""
        self.half_closed()

    def send_response(self, call: PendingCall, message: bytes) -> None:
        """Send an encoded response."""
        self._calls.discard(call)
        self._send(message)

    def send_error(self, call: PendingCall | None, call_id: str, error: InferenceError) -> None:
        """Send an error as a message: the stream goes on."""
        if call is not None:
            self._calls.discard(call)
        failure = stream_failure(call_id, error.code, error.message, error.retry_after)
        self._send(failure.SerializeToString())

    def cancel_by_id(self, call_id: str) -> None:
        """Cancel the calls with this id."""
        wanted = call_id.encode()
        for call in [call for call in self._calls if call.id == wanted]:
            self._calls.discard(call)
            self._model.cancel(call)
        if self._ending:
            self._end_if_done()

    def _send(self, message: bytes) -> None:
        if self._call.send(message) > _MAX_QUEUED_BYTES and self._resume_task is None:
            self._call.pause()
            self._resume_task = asyncio.get_running_loop().create_task(self._resume())
        if self._ending:
            self._end_if_done()

    async def _resume(self) -> None:
        await self._call.flushed()
        self._resume_task = None
        self._call.resume()

    def _end_if_done(self) -> None:
        if self._calls:
            return
        self._on_end(self)
        try:
            self._lifecycle.check_ready()
        except InferenceError as error:
            status = StatusCode[error.code.grpc_status]
            self._call.finish(status, error.message, ((CODE_KEY, error.code.value),))
        else:
            self._call.finish()


class UnaryResponder:
    """A ModelInfer call; `response` becomes the encoded response, or raises RpcError."""

    streamed = False

    def __init__(self, model: ServedModel, message: bytes, timeout: float | None) -> None:
        """Start a call that may take `timeout` seconds; cancelling `response` cancels it."""
        self._model = model
        self.response: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._call = model.submit(message, self, perf_counter(), timeout)
        if self._call is not None:
            self.response.add_done_callback(self._cancel_with_response)
            model.flush_soon()

    def send_response(self, _call: PendingCall, message: bytes) -> None:
        """Set the encoded response."""
        self.response.set_result(message)

    def send_error(self, _call: PendingCall | None, _call_id: str, error: InferenceError) -> None:
        """Fail the call."""
        self.response.set_exception(to_rpc_error(error))

    def cancel_by_id(self, _call_id: str) -> None:
        """Refuse the request: a unary call is cancelled by cancelling its RPC."""
        message = "a unary call cannot cancel another call"
        self.send_error(None, "", InferenceError(ErrorCode.INVALID_REQUEST, message))

    def _cancel_with_response(self, response: asyncio.Future[bytes]) -> None:
        if response.cancelled() and self._call is not None:
            self._model.cancel(self._call)


def to_rpc_error(error: InferenceError) -> RpcError:
    """Return `error` as a gRPC status, with its code and waiting time in the trailing metadata."""
    trailers = [(CODE_KEY, error.code.value)]
    if error.retry_after is not None:
        trailers.append((PUSHBACK_KEY, str(round(error.retry_after * 1e3))))
    return RpcError(StatusCode[error.code.grpc_status], error.message, tuple(trailers))
