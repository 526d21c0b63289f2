"""What the protocol's calls mean at the gateway, whichever transport they came by."""

from __future__ import annotations

from importlib.metadata import version

from gateway.errors import GatewayError
from gateway.metrics import GatewayMetrics
from gateway.readiness import Readiness
from gateway.upstream.servers import Servers
from protos import open_inference_pb2 as pb
from protos.errors import ErrorCode
from protos.timings import INFER_NS, QUEUE_NS

SERVER_NAME = "slipstream"
SERVER_VERSION = version("slipstream")
EXTENSIONS = ("binary_tensor_data", "parameters")

_TIMEOUT = "timeout"
"""Request parameter: microseconds that the answer may take (Triton's extension_schedule_policy)."""


class DataPlane:
    """Finds the server of a model version and hands the call over."""

    def __init__(
        self,
        servers: Servers,
        readiness: Readiness,
        metrics: GatewayMetrics,
        *,
        timeout_seconds: float,
    ) -> None:
        self._servers = servers
        self._readiness = readiness
        self._metrics = metrics
        self._timeout_seconds = timeout_seconds

    def server_ready(self) -> bool:
        """Whether the gateway takes calls."""
        return not self._readiness.reasons()

    def model_ready(self, name: str, version_text: str) -> bool:
        """Whether calls for the model version are answered; False also for an unknown one."""
        if version_text and not version_text.isdigit():
            return False
        return self._servers.is_ready(name, int(version_text) if version_text else None)

    def models(self) -> list[str]:
        """Return the names of the models that are served, ready or not."""
        return list(dict.fromkeys(status.model for status in self._servers.statuses()))

    async def metadata(self, name: str, version_text: str) -> pb.ModelMetadataResponse:
        """Return what the model takes and gives, with the versions that are ready.

        Raises:
            GatewayError: as `Servers.predictor`, and what the inference server says.
        """
        number = self._version(name, version_text)
        predictor = self._servers.predictor(name, number)
        response = await predictor.metadata(name, str(number))
        del response.versions[:]
        response.versions.extend(map(str, self._servers.ready_versions(name)))
        return response

    async def infer(
        self, request: pb.ModelInferRequest, remaining: float | None = None
    ) -> pb.ModelInferResponse:
        """Return the answer to `request`.

        Args:
            request: taken over: it may be written to.
            remaining: seconds that the caller will wait, if it said so.

        Raises:
            GatewayError: as `Servers.predictor`, and what the inference server says.
        """
        name = request.model_name
        number = self._version(name, request.model_version)
        predictor = self._servers.predictor(name, number)
        request.model_version = str(number)
        response = await predictor.infer(request, self._timeout(request, remaining))
        self._metrics.queue.observe(response.parameters[QUEUE_NS].int64_param * 1e-9)
        self._metrics.infer.observe(response.parameters[INFER_NS].int64_param * 1e-9)
        return response

    def known(self, name: str) -> bool:
        """Whether a server is wanted for the model, so that its name can be a label."""
        return any(status.model == name for status in self._servers.statuses())

    def _version(self, name: str, text: str) -> int:
        if not text:
            return self._servers.choose(name)
        if not text.isdigit() or len(text) > 18:  # noqa: PLR2004 - fits 64 bits
            message = f"model version: expected a whole number, got '{text[:40]}'"
            raise GatewayError(ErrorCode.INVALID_REQUEST, message)
        return int(text)

    def _timeout(self, request: pb.ModelInferRequest, remaining: float | None) -> float:
        timeout = self._timeout_seconds
        if _TIMEOUT in request.parameters:
            microseconds = request.parameters[_TIMEOUT].int64_param
            if microseconds > 0:
                timeout = min(timeout, microseconds / 1e6)
        return timeout if remaining is None else min(timeout, remaining)
