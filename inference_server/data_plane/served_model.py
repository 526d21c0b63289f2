"""What the protocol's calls mean here, whatever transport they came by.

`start` reads and checks a request and lets it wait for its run, which it may share with others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from inference_server.data_plane.batching import batch_key
from inference_server.data_plane.calls import (
    InferenceCall,
    ParsedCall,
    RequestTemplate,
    Responder,
    TemplatedCall,
)
from inference_server.data_plane.executor import BatchExecutor
from inference_server.data_plane.inputs import InputReader
from inference_server.data_plane.outputs import OutputWriter
from inference_server.data_plane.responses import ResponseEncoder
from inference_server.errors import InferenceError, as_inference_error
from inference_server.lifecycle import Lifecycle, LifecycleState
from inference_server.metrics import ModelMetrics
from inference_server.runtime.signature import Signature, protocol_shape
from model_store.manifest import PLATFORM, TensorSpec
from protos import open_inference_pb2 as pb
from protos.errors import ErrorCode
from protos.message_templates import InferRequestTemplate, TemplateCache
from protos.parameters import CANCEL, min_timeout, timeout_seconds


@dataclass(frozen=True, slots=True)
class _LoadedModel:
    signature: Signature
    reader: InputReader
    writer: OutputWriter
    answers: ResponseEncoder
    executor: BatchExecutor


class ServedModel:
    """Answers for one model version. All methods belong to the event loop."""

    def __init__(
        self, name: str, version: int, lifecycle: Lifecycle, metrics: ModelMetrics
    ) -> None:
        self._name = name
        self._version = str(version)
        self._lifecycle = lifecycle
        self._metrics = metrics
        self._model: _LoadedModel | None = None
        self._kinds: TemplateCache[RequestTemplate] = TemplateCache()

    def serve(self, signature: Signature, executor: BatchExecutor, *, most_bytes: int) -> None:
        """Have calls answered by `executor`, with up to `most_bytes` each, once we are ready."""
        writer = OutputWriter(signature, most_bytes=most_bytes)
        answers = ResponseEncoder(self._name, self._version, writer, self._metrics)
        self._model = _LoadedModel(signature, InputReader(signature), writer, answers, executor)

    def close(self) -> None:
        """Let go of the threads: no call will come any more."""
        if self._model is not None:
            self._model.executor.close()

    @property
    def answered(self) -> int:
        """How many inference calls were answered so far, with errors or without."""
        return self._metrics.succeeded + self._metrics.failed

    @property
    def busy(self) -> bool:
        """Whether inference calls wait or run."""
        return self._model is not None and self._model.executor.busy

    def ready(self) -> bool:
        """Whether inference calls are taken."""
        return self._lifecycle.state is LifecycleState.READY

    def model_ready(self, name: str, version: str) -> bool:
        """Whether inference calls for this model are taken; False also for one that is not ours."""
        return self.ready() and self._is_ours(name, version)

    def check_ours(self, name: str, version: str) -> None:
        """Raise NOT_FOUND for any model version but the one that is served here."""
        if not self._is_ours(name, version):
            asked = f"model {name!r}" + (f" version {version!r}" if version else "")
            message = f"{asked} is unknown: this server has {self._lifecycle.title}"
            raise InferenceError(ErrorCode.NOT_FOUND, message)

    def metadata(self, name: str, version: str) -> pb.ModelMetadataResponse:
        """Return what the model takes and gives; raises as `start` for what cannot be served."""
        signature = self._served(name, version).signature
        response = pb.ModelMetadataResponse(
            name=self._name, versions=[self._version], platform=PLATFORM
        )
        for specs, listed in (
            (signature.inputs, response.inputs),
            (signature.outputs, response.outputs),
        ):
            for spec in specs:
                listed.add(name=spec.name, datatype=spec.datatype, shape=protocol_shape(spec))
        response.properties.update(_properties(signature))
        return response

    def start(
        self, message: bytes, caller: Responder, timeout: float | None = None
    ) -> InferenceCall | None:
        """Have an encoded request answered; nothing is given back where it is refused at once.

        The answer may take `timeout` seconds, or fewer where the request says so.

        What the caller is told is an encoded answer or an InferenceError: INVALID_REQUEST for what
        is no request, NOT_FOUND for another model, INVALID_TENSOR for what does not fit,
        NOT_IMPLEMENTED for what is not offered, OVERLOADED where it would wait in vain,
        DEADLINE_EXCEEDED where it did, INFERENCE_FAILED, and the lifecycle's reasons.
        """
        kind = self._kinds.find(message)
        if kind is None:
            return self._start_new(message, caller, timeout)
        model = self._model
        assert model is not None, "kinds are learnt from a model"
        call = TemplatedCall(
            caller, model.answers, kind, message, min_timeout(timeout, kind.timeout)
        )
        try:
            self._lifecycle.check_ready()
            model.executor.submit(call)
        except InferenceError as error:
            self._refuse(caller, call.shown_id, error)
            return None
        return call

    def run_arrived(self) -> None:
        """Run at once what was started: nothing else is about to arrive."""
        if self._model is not None:
            self._model.executor.run_arrived()

    def abandon(self, call: InferenceCall) -> None:
        """Take note that nobody waits for `call` any more: its caller is not told."""
        assert self._model is not None, "calls are answered by a model"
        self._model.executor.abandon(call)
        self._metrics.answered(ErrorCode.CANCELLED)

    def _start_new(
        self, message: bytes, caller: Responder, timeout: float | None
    ) -> InferenceCall | None:
        """Read a message, and learn from it how others such as it need not be read."""
        call_id = ""
        try:
            request = _parsed(message)
            call_id = request.id
            if CANCEL in request.parameters:
                caller.cancel(call_id)
                return None
            model = self._served(request.model_name, request.model_version)
            call = self._read(model, request, caller, timeout)
            model.executor.submit(call)
        except Exception as error:  # noqa: BLE001 - `as_inference_error` knows which are ours
            self._refuse(caller, call_id, as_inference_error(error))
            return None
        self._learn(model, request, message, call)
        return call

    def _read(
        self,
        model: _LoadedModel,
        request: pb.ModelInferRequest,
        caller: Responder,
        timeout: float | None,
    ) -> ParsedCall:
        feeds = model.reader.read(request)
        outputs = model.writer.wanted(request)
        shared = batch_key(feeds, outputs) if model.executor.batches else None
        return ParsedCall(
            caller,
            model.answers,
            request.id.encode(),
            feeds,
            outputs=outputs,
            key=None if shared is None else shared[0],
            rows=1 if shared is None else shared[1],
            timeout=min_timeout(timeout, timeout_seconds(request)),
            typed=not request.raw_input_contents and bool(feeds),
        )

    def _learn(
        self, model: _LoadedModel, request: pb.ModelInferRequest, message: bytes, call: ParsedCall
    ) -> None:
        """Remember the request's form, where nothing but sizes must be checked in others of it."""
        if not model.reader.takes_any_bytes(call.feeds()):
            return
        form = InferRequestTemplate.from_message(request)
        if form is None or form.render(form.slot_values(request)) != message:
            return
        self._kinds.add(form, RequestTemplate(form, call, timeout_seconds(request)))

    def _served(self, name: str, version: str) -> _LoadedModel:
        self.check_ours(name, version)
        self._lifecycle.check_ready()
        assert self._model is not None, "ready only after serve()"
        return self._model

    def _is_ours(self, name: str, version: str) -> bool:
        return name == self._name and version in ("", self._version)

    def _refuse(self, caller: Responder, call_id: str, error: InferenceError) -> None:
        self._metrics.answered(error.code)
        caller.failed(None, call_id, error)


def _parsed(message: bytes) -> pb.ModelInferRequest:
    try:
        return pb.ModelInferRequest.FromString(message)
    except DecodeError:
        text = f"the {len(message)} bytes of the request are no message of this method"
        raise InferenceError(ErrorCode.INVALID_REQUEST, text) from None


def _properties(signature: Signature) -> dict[str, str]:
    """Return what the protocol has no field for, in words."""
    both = (*signature.inputs, *signature.outputs)
    properties = {
        "optional_inputs": _listed([spec for spec in signature.inputs if spec.optional]),
        "any_rank": _listed([spec for spec in both if spec.shape is None]),
    }
    for key, unsupported in (
        ("unsupported_inputs", signature.unsupported_inputs),
        ("unsupported_outputs", signature.unsupported_outputs),
    ):
        properties[key] = ", ".join(f"{name}: {kind}" for name, kind in unsupported.items())
    return {key: text for key, text in properties.items() if text}


def _listed(specs: Sequence[TensorSpec]) -> str:
    return ", ".join(spec.name for spec in specs)
