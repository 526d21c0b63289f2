"""What the protocol's calls mean here, whatever transport they came by.

`start` reads and checks a request and lets it wait for its run, which it may share with others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

from inference_server.batching import Job, Outcome, key_of
from inference_server.errors import InferenceError, translated
from inference_server.execution import Executor
from inference_server.lifecycle import Lifecycle, State
from inference_server.metrics import ModelMetrics
from inference_server.runtime.inputs import InputReader
from inference_server.runtime.outputs import OutputWriter
from inference_server.runtime.signature import Signature
from model_store.manifest import PLATFORM, TensorSpec
from protos import open_inference_pb2 as pb
from protos.errors import ErrorCode
from protos.timings import INFER_NS, QUEUE_NS

_ANY_SHAPE = (-1,)
"""How a tensor of any rank is shown; the protocol has no word for it."""


Answered = Callable[[pb.ModelInferResponse | InferenceError], None]


@dataclass(frozen=True, slots=True)
class _Model:
    signature: Signature
    reader: InputReader
    writer: OutputWriter
    executor: Executor


class DataPlane:
    """Answers for one model version. All methods belong to the event loop."""

    def __init__(
        self, name: str, version: int, lifecycle: Lifecycle, metrics: ModelMetrics
    ) -> None:
        self._name = name
        self._version = str(version)
        self._lifecycle = lifecycle
        self._metrics = metrics
        self._model: _Model | None = None

    def serve(self, signature: Signature, executor: Executor, *, most_bytes: int) -> None:
        """Have calls answered by `executor`, with up to `most_bytes` each, once we are ready."""
        reader, writer = InputReader(signature), OutputWriter(signature, most_bytes=most_bytes)
        self._model = _Model(signature, reader, writer, executor)

    def ready(self) -> bool:
        """Whether inference calls are taken."""
        return self._lifecycle.state is State.READY

    def model_ready(self, name: str, version: str) -> bool:
        """Whether inference calls for this model are taken; False also for one that is not ours."""
        return self.ready() and self._is_ours(name, version)

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
                shape = _ANY_SHAPE if spec.shape is None else spec.shape
                listed.add(name=spec.name, datatype=spec.datatype, shape=shape)
        response.properties.update(_properties(signature))
        return response

    async def infer(self, request: pb.ModelInferRequest) -> pb.ModelInferResponse:
        """Return the answer to `request`, or raise what `start` would give as its answer."""
        answer: asyncio.Future[pb.ModelInferResponse] = asyncio.get_running_loop().create_future()

        def answered(result: pb.ModelInferResponse | InferenceError) -> None:
            if isinstance(result, InferenceError):
                answer.set_exception(result)
            else:
                answer.set_result(result)

        job = self.start(request, answered)
        try:
            return await answer
        except asyncio.CancelledError:
            if job is not None:
                self.abandon(job)
            raise

    def start(self, request: pb.ModelInferRequest, done: Answered) -> Job | None:
        """Have `request` answered; `done` is called once, at once where it is refused.

        The answer is an InferenceError: NOT_FOUND for another model, INVALID_TENSOR for what does
        not fit, NOT_IMPLEMENTED for what is not offered, OVERLOADED where too much waits already,
        INFERENCE_FAILED, and the lifecycle's reasons. A job that is given back may be handed to
        `abandon`; `done` is not called then.
        """
        try:
            model = self._served(request.model_name, request.model_version)
            job = self._job(model, request, done)
            model.executor.submit(job)
        except Exception as error:  # noqa: BLE001 - `translated` knows which are ours
            done(self._refused(error))
            return None
        return job

    def abandon(self, job: Job) -> None:
        """Take note that nobody waits for `job` any more."""
        job.abandoned = True
        self._metrics.answered(ErrorCode.CANCELLED)

    def _job(self, model: _Model, request: pb.ModelInferRequest, done: Answered) -> Job:
        feeds = model.reader.read(request)
        outputs = model.writer.wanted(request)
        typed = not request.raw_input_contents and bool(feeds)
        call_id = request.id
        shared = key_of(feeds, outputs) if model.executor.batches else None

        def ran(outcome: Outcome) -> None:
            done(self._answer(model, call_id, outputs, outcome, typed=typed))

        return Job(
            feeds=feeds,
            outputs=outputs,
            input_bytes=sum([array.nbytes for array in feeds.values()]),
            key=object() if shared is None else shared[0],
            rows=1 if shared is None else shared[1],
            queued=perf_counter(),
            done=ran,
        )

    def _answer(
        self,
        model: _Model,
        call_id: str,
        outputs: Sequence[str],
        outcome: Outcome,
        *,
        typed: bool,
    ) -> pb.ModelInferResponse | InferenceError:
        if isinstance(outcome, InferenceError):
            return self._refused(outcome)
        response = pb.ModelInferResponse(
            model_name=self._name, model_version=self._version, id=call_id
        )
        try:
            model.writer.write(response, outputs, outcome.arrays, typed=typed)
        except Exception as error:  # noqa: BLE001 - `translated` knows which are ours
            return self._refused(error)
        response.parameters[QUEUE_NS].int64_param = int(outcome.queue_seconds * 1e9)
        response.parameters[INFER_NS].int64_param = int(outcome.infer_seconds * 1e9)
        self._metrics.answered()
        return response

    def _served(self, name: str, version: str) -> _Model:
        if not self._is_ours(name, version):
            asked = f"model {name!r}" + (f" version {version!r}" if version else "")
            message = f"{asked} is unknown: this server has {self._lifecycle.title}"
            raise InferenceError(ErrorCode.NOT_FOUND, message)
        self._lifecycle.check_ready()
        assert self._model is not None, "ready only after serve()"
        return self._model

    def _is_ours(self, name: str, version: str) -> bool:
        return name == self._name and version in ("", self._version)

    def _refused(self, error: Exception) -> InferenceError:
        refusal = translated(error)
        self._metrics.answered(refusal.code)
        return refusal


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
