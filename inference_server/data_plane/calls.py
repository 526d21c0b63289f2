"""One inference call, between the message that it came in and its response."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Protocol

import numpy as np

from inference_server.errors import InferenceError
from protos.message_templates import InferRequestTemplate
from telemetry.trace_context import TraceContext

Feeds = Mapping[str, np.ndarray]
"""Input name → array, as ONNX Runtime takes them."""
RunTimes = dict[int, float]
"""Average seconds of runs on inputs of one shape class, by the bit length of their rows."""


class Responder(Protocol):
    """The gRPC stream or unary call that a call came by. Used on the event loop only."""

    streamed: bool
    """Whether responses are sent as ModelStreamInferResponse."""

    def send_response(self, call: PendingCall, message: bytes) -> None:
        """Send the encoded response."""

    def send_error(self, call: PendingCall | None, call_id: str, error: InferenceError) -> None:
        """Send the error; `call` is None where the request was refused before it was queued."""

    def cancel_by_id(self, call_id: str) -> None:
        """Cancel the call with this id, unless it has been answered."""


class RequestProfile:
    """What the executor must know of a request; requests of one template share one."""

    __slots__ = (
        "batch_key",
        "fixed_size_outputs",
        "input_bytes",
        "outputs",
        "rows",
        "run_times",
        "timeout",
        "typed",
    )

    def __init__(
        self,
        *,
        outputs: tuple[str, ...],
        input_bytes: int,
        batch_key: Hashable | None,
        rows: int,
        run_times: RunTimes,
        timeout: float | None = None,
        typed: bool = False,
        fixed_size_outputs: bool = False,
    ) -> None:
        self.outputs = outputs
        """The names of the requested outputs."""
        self.input_bytes = input_bytes
        """Size of all input arrays together."""
        self.batch_key = batch_key
        """Calls with equal keys may share a run; None: the call runs alone."""
        self.rows = rows
        """Size of the batch axis; 1 where there is none."""
        self.run_times = run_times
        """Of its shape class; all requests of the class share the object."""
        self.timeout = timeout
        """Seconds the request allows for its response, counted from its arrival; None: no limit."""
        self.typed = typed
        """Whether the response has typed contents where possible, as the request had."""
        self.fixed_size_outputs = fixed_size_outputs
        """Whether all outputs are numbers, so that the response may be written by a template."""

    def feeds(self, call: PendingCall) -> Feeds:
        """Return the inputs of `call`."""
        assert call.feeds is not None, "only a templated call has no parsed inputs"
        return call.feeds

    def batched_feeds(self, calls: Sequence[PendingCall]) -> Feeds:
        """Return the inputs of several calls with one batch key, concatenated by rows."""
        parts = [call.profile.feeds(call) for call in calls]
        return {name: np.concatenate([feeds[name] for feeds in parts]) for name in parts[0]}


class TemplateProfile(RequestProfile):
    """The profile of all requests that match one template: they need not be parsed.

    They differ in id and tensor bytes only. It is learned from the first of them, which was parsed
    and checked in full.
    """

    __slots__ = ("_inputs", "id_end", "id_start")

    def __init__(
        self, template: InferRequestTemplate, profile: RequestProfile, feeds: Feeds
    ) -> None:
        """Copy the `profile` of a parsed request that has `template` and the inputs `feeds`."""
        super().__init__(
            outputs=profile.outputs,
            input_bytes=profile.input_bytes,
            batch_key=profile.batch_key,
            rows=profile.rows,
            run_times=profile.run_times,
            timeout=profile.timeout,
            fixed_size_outputs=profile.fixed_size_outputs,
        )
        self.id_start = template.id_start
        """Where the id lies in a message."""
        self.id_end = template.id_end
        self._inputs = [
            (name, array.shape, array.dtype, start, end)
            for (name, array), (start, end) in zip(feeds.items(), template.inputs, strict=True)
        ]

    def feeds(self, call: PendingCall) -> Feeds:
        """Return the inputs of `call`, as read-only views of its message."""
        message = call.message
        feeds = {}
        for name, shape, dtype, start, _ in self._inputs:
            feeds[name] = np.ndarray(shape, dtype, message, start)
        return feeds

    def batched_feeds(self, calls: Sequence[PendingCall]) -> Feeds:
        """Return the inputs of several calls, concatenated by rows; one copy if all are alike."""
        messages = [call.message for call in calls if call.profile is self]
        if len(messages) < len(calls):
            return super().batched_feeds(calls)
        return {
            name: np.frombuffer(
                b"".join([message[start:end] for message in messages]), dtype
            ).reshape((-1, *shape[1:]))
            for name, shape, dtype, start, end in self._inputs
        }


class PendingCall:
    """A call that was accepted. The only object made for a call whose request is recognised."""

    __slots__ = (
        "arrived_at",
        "cancelled",
        "deadline",
        "feeds",
        "first_row",
        "id",
        "message",
        "profile",
        "queued",
        "responder",
        "trace",
    )

    def __init__(
        self,
        responder: Responder,
        profile: RequestProfile,
        call_id: bytes,
        *,
        arrived_at: float,
        timeout: float | None,
        message: bytes = b"",
        feeds: Feeds | None = None,
        trace: TraceContext | None = None,
    ) -> None:
        """Describe a call.

        Args:
            responder: gets the outcome.
            profile: the properties that it shares with calls like it.
            call_id: returned with the response. Of a recognised request it was not decoded, and
                may be invalid UTF-8.
            arrived_at: the `perf_counter()` at which it was read.
            timeout: seconds after `arrived_at` at which the client stops waiting.
            message: the encoded request, if it was recognised; its inputs are views of it.
            feeds: the inputs, if the request was parsed.
            trace: of its span; None: it is not sampled.
        """
        self.responder = responder
        self.profile = profile
        self.id = call_id
        self.message = message
        self.arrived_at = arrived_at
        self.deadline = None if timeout is None else arrived_at + timeout
        self.feeds = feeds
        self.trace = trace
        """None once its span is recorded, too."""
        self.first_row = 0
        """Where its rows begin in the outputs of a run that it shares."""
        self.queued = False
        self.cancelled = False
        """Its client has left: it need not run, and no response is sent."""

    @property
    def id_text(self) -> str:
        """The id as text."""
        return self.id.decode("utf-8", "replace")
