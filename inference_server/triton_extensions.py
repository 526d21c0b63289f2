"""The repository of one model version, as Triton's extensions of the protocol show it."""

from __future__ import annotations

from collections.abc import Mapping

from inference_server.data_plane.served_model import ServedModel
from inference_server.errors import InferenceError
from inference_server.lifecycle import Lifecycle, LifecycleState
from inference_server.metrics import ModelMetrics
from inference_server.model_config import model_config
from inference_server.runtime.signature import Signature
from inference_server.runtime.warmup import WarmupResult
from inference_server.statistics import model_statistics
from protos import open_inference_pb2 as pb
from protos.errors import ErrorCode
from protos.parameters import CANCELLATION

EXTENSIONS = ("model_configuration", "statistics", CANCELLATION)
"""As server metadata lists them. Not `model_repository`: that is loading and unloading, too."""

_STATES: Mapping[LifecycleState, str] = {
    LifecycleState.BOOTING: "LOADING",
    LifecycleState.READY: "READY",
    LifecycleState.FAILED: "UNAVAILABLE",
    LifecycleState.DRAINING: "UNLOADING",
}


class TritonExtensions:
    """Answers ModelConfig, ModelStatistics and RepositoryIndex."""

    def __init__(
        self,
        name: str,
        version: int,
        plane: ServedModel,
        lifecycle: Lifecycle,
        metrics: ModelMetrics,
    ) -> None:
        self._name = name
        self._version = version
        self._plane = plane
        self._lifecycle = lifecycle
        self._metrics = metrics
        self._config: pb.ModelConfig | None = None

    def loaded(self, signature: Signature, warmth: WarmupResult) -> None:
        """Take note of what was found out about the model, before it is ready."""
        self._config = model_config(self._name, self._version, signature, warmth)

    def config(self, request: pb.ModelConfigRequest) -> pb.ModelConfigResponse:
        """Return the model's configuration.

        Raises:
            InferenceError: NOT_FOUND for another model, and the lifecycle's reasons.
        """
        self._plane.check_ours(request.name, request.version)
        self._lifecycle.check_ready()
        return pb.ModelConfigResponse(config=self._config)

    def statistics(self, request: pb.ModelStatisticsRequest) -> pb.ModelStatisticsResponse:
        """Return what was counted and timed, ready or not; NOT_FOUND for another model."""
        if request.name:  # without a name, all models are meant
            self._plane.check_ours(request.name, request.version)
        counted = model_statistics(self._name, str(self._version), self._metrics)
        return pb.ModelStatisticsResponse(model_stats=[counted])

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
                state=_STATES[lifecycle.state],
                reason=lifecycle.failure.message if lifecycle.failure else "",
            )
        return response
