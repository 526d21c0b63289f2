"""What the protocol's calls mean here, whatever transport they came by.

A call is taken in two steps, so that a transport that has read many can treat each as it needs:
`begin` reads and checks the request, `finish` runs the model and writes the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request that was found good, ready to run."""

    id: str
    feeds: Mapping[str, np.ndarray]
    outputs: Sequence[str]
    input_bytes: int
    typed: bool
    """Whether to answer with typed contents, as the request came."""
    quick: bool
    """Whether it takes microseconds: `finish` then does not let go of the event loop."""


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
        """Return what the model takes and gives; raises as `begin` for what cannot be served."""
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
        """Return the answer to `request`; raises as `begin` and `finish`."""
        return await self.finish(self.begin(request))

    def begin(self, request: pb.ModelInferRequest) -> Call:
        """Return `request` as a call.

        Raises:
            InferenceError: NOT_FOUND for another model, INVALID_TENSOR for what does not fit,
                NOT_IMPLEMENTED for what is not offered, and the lifecycle's reasons.
        """
        try:
            model = self._served(request.model_name, request.model_version)
            feeds = model.reader.read(request)
            input_bytes = sum([array.nbytes for array in feeds.values()])
            return Call(
                id=request.id,
                feeds=feeds,
                outputs=model.writer.wanted(request),
                input_bytes=input_bytes,
                typed=not request.raw_input_contents and bool(feeds),
                quick=model.executor.is_quick(input_bytes),
            )
        except Exception as error:  # noqa: BLE001 - `translated` knows which are ours
            raise self._refused(error) from None

    async def finish(self, call: Call) -> pb.ModelInferResponse:
        """Return the answer to `call`.

        Raises:
            InferenceError: INFERENCE_FAILED, or OVERLOADED where too many calls wait already.
        """
        model = self._model
        assert model is not None
        response = pb.ModelInferResponse(
            model_name=self._name, model_version=self._version, id=call.id
        )
        asked = (call.feeds, call.outputs, call.input_bytes)
        try:
            if call.quick:
                run = model.executor.run_at_once(*asked)
            else:
                run = await model.executor.run_on_thread(*asked)
            model.writer.write(response, call.outputs, run.arrays, typed=call.typed)
        except asyncio.CancelledError:
            self._metrics.answered(ErrorCode.CANCELLED)
            raise
        except Exception as error:  # noqa: BLE001 - `translated` knows which are ours
            raise self._refused(error) from None
        response.parameters[QUEUE_NS].int64_param = int(run.queue_seconds * 1e9)
        response.parameters[INFER_NS].int64_param = int(run.infer_seconds * 1e9)
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
