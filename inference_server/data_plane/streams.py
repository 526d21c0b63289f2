"""One ModelStreamInfer stream: many calls at once, each answered by itself, in any order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from inference_server.data_plane.active_streams import ActiveStreams
from inference_server.data_plane.arrival_rate import ArrivalRate
from inference_server.data_plane.calls import InferenceCall
from inference_server.data_plane.served_model import ServedModel
from inference_server.errors import InferenceError
from inference_server.lifecycle import Lifecycle
from protos.status import CODE_KEY, stream_failure
from transport import StatusCode, StreamCall

_MOST_QUEUED_BYTES = 8 * 1024 * 1024
"""Of answers that the client has not taken: beyond it, no more of its calls are read."""


class InferenceStream:
    """Starts each call as it arrives, and sends each answer as it is there.

    All that arrived in one read is started before any of it runs, so that it can share a run. What
    waits is bounded by the executor's queue, and for a client that does not listen by `pause`.
    """

    streamed = True

    def __init__(
        self,
        plane: ServedModel,
        lifecycle: Lifecycle,
        call: StreamCall,
        *,
        pace: ArrivalRate,
        company: ActiveStreams,
        on_end: Callable[[InferenceStream], None],
    ) -> None:
        """Answer the calls of `call`.

        Args:
            plane: answers each.
            lifecycle: says how the stream ends.
            call: the stream.
            pace: says whether to stay awake for its next message.
            company: says whether there is another stream on which more could have arrived by now.
            on_end: called when this stream is over.
        """
        self._plane = plane
        self._lifecycle = lifecycle
        self._call = call
        self._pace = pace
        self._company = company
        self._on_end = on_end
        self._calls: set[InferenceCall] = set()
        self._ending = False
        self._resuming: asyncio.Task[None] | None = None

    # for the connection

    def messages(self, messages: list[bytes]) -> None:
        """Start the calls that arrived in one read."""
        self._pace.arrived(len(messages))
        start, calls = self._plane.start, self._calls
        for message in messages:
            call = start(message, self)
            if call is not None:
                calls.add(call)
        if not self._company.is_only(self):
            return
        self._plane.run_arrived()
        if not calls:
            self._pace.answered()
            if self._pace.is_brisk and not self._ending:
                self._call.busy_poll(self._pace.linger_seconds)

    def half_closed(self) -> None:
        """End when everything is answered: no more calls will come."""
        self._ending = True
        self._end_if_done()

    def cancelled(self) -> None:
        """Forget the calls: nobody waits for their answers."""
        for call in self._calls:
            self._plane.abandon(call)
        self._calls.clear()
        self._on_end(self)

    def close(self) -> None:
        """End when everything is answered: we are shutting down, and new calls are refused."""
        self.half_closed()

    # for the calls

    def answered(self, call: InferenceCall, message: bytes) -> None:
        """Send an answer."""
        self._calls.discard(call)
        self._send(message)

    def cancel(self, call_id: str) -> None:
        """Forget a call: nobody waits for its answer."""
        wanted = call_id.encode()
        for call in [call for call in self._calls if call.id == wanted]:
            self._calls.discard(call)
            self._plane.abandon(call)
        if self._ending:
            self._end_if_done()

    def failed(self, call: InferenceCall | None, call_id: str, error: InferenceError) -> None:
        """Send the reason why there is none."""
        if call is not None:
            self._calls.discard(call)
        failure = stream_failure(call_id, error.code, error.message, error.retry_after)
        self._send(failure.SerializeToString())

    def _send(self, message: bytes) -> None:
        if self._call.send(message) > _MOST_QUEUED_BYTES and self._resuming is None:
            self._call.pause()
            self._resuming = asyncio.get_running_loop().create_task(self._resume())
        if self._ending:
            self._end_if_done()

    async def _resume(self) -> None:
        await self._call.flushed()
        self._resuming = None
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
