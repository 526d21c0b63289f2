"""What a server reports about its model: metadata, configuration, statistics and the index.

Configuration, statistics and index are Triton's extensions of the Open Inference Protocol.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import orjson

from inference_server.data_plane.served_model import ServedModel
from inference_server.errors import InferenceError
from inference_server.lifecycle import Lifecycle, LifecycleState
from inference_server.metrics import BatchSizeTotals, ModelMetrics
from inference_server.runtime.signature import Signature, protocol_shape
from inference_server.runtime.warmup import WarmupResult
from model_store.manifest import PLATFORM
from model_store.tensor_spec import TensorSpec
from protos import open_inference_pb2 as pb
from protos.errors import ErrorCode
from protos.parameters import CANCELLATION, OWNERS

EXTENSIONS = ("model_configuration", "statistics", CANCELLATION)
"""As server metadata lists them, with OWNERS where calls share runs by owner. `model_repository` is
not one: it includes loading and unloading."""

_BACKEND = "onnxruntime"
_INDEX_STATES: Mapping[LifecycleState, str] = {
    LifecycleState.BOOTING: "LOADING",
    LifecycleState.READY: "READY",
    LifecycleState.FAILED: "UNAVAILABLE",
    LifecycleState.DRAINING: "UNLOADING",
}


class ModelInfo:
    """Answers ModelMetadata, ModelConfig, ModelStatistics and RepositoryIndex."""

    def __init__(
        self,
        name: str,
        version: int,
        model: ServedModel,
        lifecycle: Lifecycle,
        metrics: ModelMetrics,
    ) -> None:
        self._name = name
        self._version = version
        self._model = model
        self._lifecycle = lifecycle
        self._metrics = metrics
        self._metadata: pb.ModelMetadataResponse | None = None
        self._config: pb.ModelConfig | None = None

    def load(self, signature: Signature, warmup: WarmupResult) -> None:
        """Set what was found out about the model, before the lifecycle becomes ready."""
        self._metadata = _metadata(self._name, self._version, signature)
        self._config = _config(self._name, self._version, signature, warmup)

    @property
    def extensions(self) -> Sequence[str]:
        """The extensions that the server announces; complete once it is ready."""
        return (*EXTENSIONS, OWNERS) if self._model.by_owner else EXTENSIONS

    def metadata(self, request: pb.ModelMetadataRequest) -> pb.ModelMetadataResponse:
        """Return the model's inputs and outputs.

        Raises:
            InferenceError: NOT_FOUND for another model, and the lifecycle's errors.
        """
        self._model.check_name(request.name, request.version)
        self._lifecycle.check_ready()
        assert self._metadata is not None, "ready only after `load`"
        return self._metadata

    def config(self, request: pb.ModelConfigRequest) -> pb.ModelConfigResponse:
        """Return the model's configuration; raises as `metadata`."""
        self._model.check_name(request.name, request.version)
        self._lifecycle.check_ready()
        return pb.ModelConfigResponse(config=self._config)

    def statistics(self, request: pb.ModelStatisticsRequest) -> pb.ModelStatisticsResponse:
        """Return counts and times since the process started; NOT_FOUND for another model."""
        if request.name:  # no name means all models
            self._model.check_name(request.name, request.version)
        statistics = _statistics(self._name, str(self._version), self._metrics)
        return pb.ModelStatisticsResponse(model_stats=[statistics])

    def index(self, request: pb.RepositoryIndexRequest) -> pb.RepositoryIndexResponse:
        """Return the one model version and its state.

        Raises:
            InferenceError: NOT_IMPLEMENTED for a repository by name: there is only this one.
        """
        if request.repository_name:
            message = "repository_name: there is one repository, leave the name out"
            raise InferenceError(ErrorCode.NOT_IMPLEMENTED, message)
        response = pb.RepositoryIndexResponse()
        lifecycle = self._lifecycle
        if lifecycle.state is LifecycleState.READY or not request.ready:
            response.models.add(
                name=self._name,
                version=str(self._version),
                state=_INDEX_STATES[lifecycle.state],
                reason=lifecycle.failure.message if lifecycle.failure else "",
            )
        return response


def _metadata(name: str, version: int, signature: Signature) -> pb.ModelMetadataResponse:
    response = pb.ModelMetadataResponse(name=name, versions=[str(version)], platform=PLATFORM)
    for specs, tensors in (
        (signature.inputs, response.inputs),
        (signature.outputs, response.outputs),
    ):
        for spec in specs:
            tensors.add(name=spec.name, datatype=spec.datatype, shape=protocol_shape(spec))
    both = (*signature.inputs, *signature.outputs)
    properties = {  # what the protocol has no field for
        "optional_inputs": _names([spec for spec in signature.inputs if spec.optional]),
        "class_labels": _class_labels(signature.outputs),
        "any_rank": _names([spec for spec in both if spec.shape is None]),
        "unsupported_inputs": _names_and_types(signature.unsupported_inputs),
        "unsupported_outputs": _names_and_types(signature.unsupported_outputs),
    }
    response.properties.update({key: text for key, text in properties.items() if text})
    return response


def _names(specs: Sequence[TensorSpec]) -> str:
    return ", ".join(spec.name for spec in specs)


def _class_labels(outputs: Sequence[TensorSpec]) -> str:
    """Return the classes of each output that has some, as a JSON object."""
    labels = {spec.name: spec.class_labels for spec in outputs if spec.class_labels}
    return orjson.dumps(labels).decode() if labels else ""


def _names_and_types(unsupported: Mapping[str, str]) -> str:
    return ", ".join(f"{name}: {onnx_type}" for name, onnx_type in unsupported.items())


def _config(name: str, version: int, signature: Signature, warmup: WarmupResult) -> pb.ModelConfig:
    """Return the configuration by which Triton's clients build their inputs.

    If `max_batch_size` is not 0 they expect shapes without the first dimension.
    """
    batches = warmup.batch_axis and _all_have_batch_axis(signature)
    max_batch_size = warmup.max_batch_size if batches else 0
    config = pb.ModelConfig(
        name=name,
        platform=PLATFORM,
        backend=_BACKEND,
        version_policy=pb.ModelVersionPolicy(specific={"versions": [version]}),
        max_batch_size=max_batch_size,
    )
    skip = 1 if max_batch_size else 0
    for spec in signature.inputs:
        data_type, dims = _data_type(spec), protocol_shape(spec)[skip:]
        config.input.add(name=spec.name, data_type=data_type, dims=dims, optional=spec.optional)
    for spec in signature.outputs:
        config.output.add(
            name=spec.name, data_type=_data_type(spec), dims=protocol_shape(spec)[skip:]
        )
    if max_batch_size > 1:
        config.dynamic_batching.SetInParent()
    return config


def _all_have_batch_axis(signature: Signature) -> bool:
    """Whether the batch axis can be left out of every tensor.

    Triton's configuration has it for all tensors or for none, so optional inputs must have it too.
    Clients cannot send an input that has no other dimension.
    """
    inputs = [spec.shape or () for spec in signature.inputs]
    outputs = [spec.shape or () for spec in signature.outputs]
    return all(shape[:1] == (-1,) for shape in (*inputs, *outputs)) and all(
        len(shape) > 1 for shape in inputs
    )


def _data_type(spec: TensorSpec) -> str:
    return "TYPE_STRING" if spec.datatype == "BYTES" else f"TYPE_{spec.datatype}"


def _statistics(name: str, version: str, metrics: ModelMetrics) -> pb.ModelStatistics:
    """Return Triton's statistics, from the instruments that exist anyway.

    A successful call counts from its arrival to the end of its run. Decoding inputs and encoding
    outputs is not timed: `compute_input` and `compute_output` have a time of 0, and the count that
    clients expect, that of `compute_infer`. Failed calls are counted, also with a time of 0.
    """
    runs = metrics.runs
    parts = runs.all()
    return pb.ModelStatistics(
        name=name,
        version=version,
        last_inference=runs.last_milliseconds(),
        inference_count=sum([part.rows for part in parts]),
        execution_count=sum([part.runs for part in parts]),
        inference_stats=_call_statistics(metrics, parts),
        batch_stats=[_batch_statistics(rows, part) for rows, part in sorted(runs.by_rows.items())],
    )


def _call_statistics(metrics: ModelMetrics, parts: list[BatchSizeTotals]) -> pb.InferStatistics:
    calls = sum([part.calls for part in parts])
    infer_seconds = sum([part.call_seconds for part in parts])
    queue = metrics.queue_seconds
    return pb.InferStatistics(
        success=_duration(metrics.succeeded, queue.total + infer_seconds),
        fail=_duration(metrics.failed, 0.0),
        queue=_duration(sum(queue.counts), queue.total),
        compute_input=_duration(calls, 0.0),
        compute_infer=_duration(calls, infer_seconds),
        compute_output=_duration(calls, 0.0),
        cache_hit=_duration(0, 0.0),
        cache_miss=_duration(0, 0.0),
    )


def _batch_statistics(rows: int, totals: BatchSizeTotals) -> pb.InferBatchStatistics:
    return pb.InferBatchStatistics(
        batch_size=rows,
        compute_input=_duration(totals.runs, 0.0),
        compute_infer=_duration(totals.runs, totals.seconds),
        compute_output=_duration(totals.runs, 0.0),
    )


def _duration(count: int, seconds: float) -> pb.StatisticDuration:
    return pb.StatisticDuration(count=count, ns=int(seconds * 1e9))
