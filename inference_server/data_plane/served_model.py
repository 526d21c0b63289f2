"""Accepts the requests of one model version: recognised by a template, or parsed and checked."""

from __future__ import annotations

from google.protobuf.message import DecodeError

from inference_server.data_plane.batching import batch_key, input_bytes
from inference_server.data_plane.call_spans import CallSpans
from inference_server.data_plane.calls import (
    PendingCall,
    RequestProfile,
    Responder,
    TemplateProfile,
)
from inference_server.data_plane.executor import BatchExecutor
from inference_server.data_plane.inputs import InputReader
from inference_server.data_plane.responses import ResponseEncoder
from inference_server.errors import InferenceError, as_inference_error
from inference_server.lifecycle import Lifecycle, LifecycleState
from inference_server.metrics import ModelMetrics
from protos import open_inference_pb2 as pb
from protos.errors import ErrorCode
from protos.message_templates import InferRequestTemplate, TemplateCache
from protos.parameters import CANCEL, min_timeout, owner_of, set_trace, split_trace, timeout_seconds
from telemetry.trace_context import TraceContext, continued


class ServedModel:
    """The model version of this server. For one event loop; all methods are called there."""

    def __init__(
        self, name: str, version: int, lifecycle: Lifecycle, metrics: ModelMetrics
    ) -> None:
        self._name = name
        self._version = str(version)
        self._lifecycle = lifecycle
        self._metrics = metrics
        # Set by `load`; no request gets so far before the lifecycle is ready.
        self._reader: InputReader
        self._encoder: ResponseEncoder
        self._executor: BatchExecutor | None = None
        self.by_owner = False
        """Whether only calls of one owner share runs."""
        self._spans: CallSpans | None = None
        self._profiles: TemplateCache[TemplateProfile] = TemplateCache()

    def load(
        self,
        reader: InputReader,
        encoder: ResponseEncoder,
        executor: BatchExecutor,
        *,
        by_owner: bool,
        spans: CallSpans | None = None,
    ) -> None:
        """Set what reads, runs and answers requests, before the lifecycle becomes ready.

        Without `spans`, calls are not traced.
        """
        self._reader = reader
        self._encoder = encoder
        self._executor = executor
        self.by_owner = by_owner
        self._spans = spans

    def close(self) -> None:
        """End the threads; no request may follow."""
        if self._executor is not None:
            self._executor.close()

    @property
    def answered(self) -> int:
        """How many inference calls were answered so far, with or without an error."""
        return self._metrics.succeeded + self._metrics.failed

    @property
    def outstanding(self) -> int:
        """How many inference calls wait or run."""
        return 0 if self._executor is None else self._executor.outstanding

    @property
    def call_seconds(self) -> float:
        """The time that all inference calls so far have waited and run, added up.

        What it grows by in a second is how many calls were outstanding in it on average (Little's
        law). A wait counts when the run begins, and a run when it has ended.
        """
        return self._metrics.call_seconds

    @property
    def ready(self) -> bool:
        """Whether inference calls are accepted."""
        return self._lifecycle.state is LifecycleState.READY

    def has_name(self, name: str, version: str) -> bool:
        """Whether a request for this name and version ("": any) means the model of this server."""
        return name == self._name and version in ("", self._version)

    def check_name(self, name: str, version: str) -> None:
        """Raise NOT_FOUND unless `has_name`."""
        if not self.has_name(name, version):
            wanted = f"model {name!r}" + (f" version {version!r}" if version else "")
            message = f"{wanted} is unknown: this server has {self._lifecycle.title}"
            raise InferenceError(ErrorCode.NOT_FOUND, message)

    def submit(
        self, message: bytes, responder: Responder, arrived_at: float, timeout: float | None = None
    ) -> PendingCall | None:
        """Accept an encoded request; it runs with the next `flush`.

        Return None for a cancellation, and if the request is refused: `responder` then gets
        INVALID_REQUEST if it cannot be parsed, NOT_FOUND for another model, INVALID_TENSOR for
        wrong inputs, NOT_IMPLEMENTED for unsupported features, OVERLOADED for a full queue or too
        short a deadline, or an error of the lifecycle. An accepted call may still fail with
        DEADLINE_EXCEEDED, RUN_TIME_EXCEEDED, INPUT_REJECTED, INFERENCE_FAILED or
        INFERENCE_TOO_LARGE.

        Args:
            message: a ModelInferRequest.
            responder: gets the outcome.
            arrived_at: the `perf_counter()` at which the message was read.
            timeout: seconds the response may take; the request can shorten it.
        """
        profile, trace = self._profiles.find(message), None
        if profile is None:
            profile, message, trace = self._find_traced(message)
        if profile is None:
            return self._submit_parsed(message, responder, arrived_at, timeout)
        call = PendingCall(
            responder,
            profile,
            message[profile.id_start : profile.id_end],
            arrived_at=arrived_at,
            timeout=min_timeout(timeout, profile.timeout),
            message=message,
            trace=trace,
        )
        try:
            if self._lifecycle.state is not LifecycleState.READY:
                self._lifecycle.check_ready()
            assert self._executor is not None, "profiles are learned from accepted calls"
            self._executor.submit(call)
        except InferenceError as error:
            self._refuse(responder, call.id_text, error, trace, arrived_at)
            return None
        return call

    def flush(self) -> None:
        """Run submitted calls now, because no others are about to arrive."""
        if self._executor is not None:
            self._executor.flush()

    def flush_soon(self) -> None:
        """Run submitted calls in the next loop iteration, with those that arrive in this one."""
        if self._executor is not None:
            self._executor.flush_soon()

    def cancel(self, call: PendingCall) -> None:
        """Drop `call`, because its client no longer waits for the response."""
        assert self._executor is not None, "calls are accepted by an executor"
        self._executor.cancel(call)
        self._metrics.record_error(ErrorCode.CANCELLED)

    def _find_traced(
        self, message: bytes
    ) -> tuple[TemplateProfile | None, bytes, TraceContext | None]:
        """Return the profile of a message that names a span at its end, the rest, and the span."""
        rest, traceparent = split_trace(message)
        profile = None if traceparent is None else self._profiles.find(rest)
        if profile is None:
            return None, message, None
        return profile, rest, None if self._spans is None else continued(traceparent)

    def _submit_parsed(
        self, message: bytes, responder: Responder, arrived_at: float, timeout: float | None
    ) -> PendingCall | None:
        """Accept a request of a kind not seen before, and learn its template."""
        call_id, trace = "", None
        try:
            request = _parse_request(message)
            call_id = request.id
            if CANCEL in request.parameters:
                responder.cancel_by_id(call_id)
                return None
            if self._spans is not None:
                trace = self._spans.begin(request)
            self.check_name(request.model_name, request.model_version)
            self._lifecycle.check_ready()
            call = self._read(request, responder, arrived_at, timeout, trace)
            assert self._executor is not None, "ready only after `load`"
            self._executor.submit(call)
        except Exception as error:  # noqa: BLE001 - becomes the call's error
            self._refuse(responder, call_id, as_inference_error(error), trace, arrived_at)
            return None
        set_trace(request, {})
        self._learn_template(split_trace(message)[0], request, call)
        return call

    def _read(
        self,
        request: pb.ModelInferRequest,
        responder: Responder,
        arrived_at: float,
        timeout: float | None,
        trace: TraceContext | None,
    ) -> PendingCall:
        feeds = self._reader.read(request)
        outputs = self._encoder.requested_outputs(request)
        executor = self._executor
        assert executor is not None, "ready only after `load`"
        reader = self._reader
        owner = owner_of(request) if self.by_owner else ""
        key, rows = None, 1
        if executor.can_batch and owner is not None:
            found = batch_key(feeds, outputs, reader.required, reader.equal_sizes, owner)
            key, rows = found or (None, 1)
        profile = RequestProfile(
            outputs=outputs,
            input_bytes=sum([input_bytes(array) for array in feeds.values()]),
            batch_key=key,
            rows=rows,
            run_times=executor.run_times(feeds, by_rows=key is not None),
            timeout=timeout_seconds(request),
            typed=not request.raw_input_contents and bool(feeds),
            fixed_size_outputs=self._encoder.have_fixed_size(outputs),
        )
        return PendingCall(
            responder,
            profile,
            request.id.encode(),
            arrived_at=arrived_at,
            timeout=min_timeout(timeout, profile.timeout),
            feeds=feeds,
            trace=trace,
        )

    def _learn_template(
        self, message: bytes, request: pb.ModelInferRequest, call: PendingCall
    ) -> None:
        """Store the template of `request` if other requests of it need only a length check."""
        assert call.feeds is not None, "it was parsed"
        if not self._reader.accepts_any_bytes(call.feeds):
            return
        template = InferRequestTemplate.from_message(request)
        if template and template.render(template.slot_values(request)) == message:
            profile = TemplateProfile(template, call.profile, call.feeds)
            self._profiles.add(template, profile)

    def _refuse(
        self,
        responder: Responder,
        call_id: str,
        error: InferenceError,
        trace: TraceContext | None,
        arrived_at: float,
    ) -> None:
        self._metrics.record_error(error.code)
        responder.send_error(None, call_id, error)
        if self._spans is not None and trace is not None:
            self._spans.failed(trace, arrived_at, error.code)


def _parse_request(message: bytes) -> pb.ModelInferRequest:
    try:
        return pb.ModelInferRequest.FromString(message)
    except DecodeError:
        text = f"the {len(message)} bytes of the request are not a ModelInferRequest"
        raise InferenceError(ErrorCode.INVALID_REQUEST, text) from None
