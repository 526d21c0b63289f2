"""The protocol's operations, independent of the transport."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from importlib.metadata import version

from gateway.errors import GatewayError
from gateway.metrics import GatewayMetrics
from gateway.readiness import Readiness
from gateway.upstream.inference_stream import ID_BYTES, InferenceReply
from gateway.upstream.servers import InferenceServers, ServerStatus
from protos import open_inference_pb2 as pb
from protos.errors import ErrorCode
from protos.message_templates import InferRequestTemplate, RawBytes
from protos.parameters import (
    INFER_SECONDS,
    QUEUE_SECONDS,
    TIMEOUT,
    min_timeout,
    timeout_microseconds,
    timeout_seconds,
)

_MAX_DIGITS = 18
SERVER_NAME = "slipstream"
SERVER_VERSION = version("slipstream")
EXTENSIONS = ("model_configuration", "binary_tensor_data", "parameters", "statistics")
"""As listed in server metadata. `model_repository` is missing: it includes loading models."""
_READY = "READY"
_STATES: Mapping[str, str] = {
    "booting": "LOADING",
    "ready": "UNAVAILABLE",  # ready for others, not reachable for this gateway
    "draining": "UNLOADING",
    "unresponsive": "UNAVAILABLE",
    "failed": "UNAVAILABLE",
    "stopped": "UNAVAILABLE",
}


class DataPlane:
    """Forwards each call to the inference server of its model version."""

    def __init__(
        self,
        servers: InferenceServers,
        readiness: Readiness,
        metrics: GatewayMetrics,
        *,
        timeout_seconds: float,
    ) -> None:
        self._servers = servers
        self._readiness = readiness
        self._metrics = metrics
        self.timeout_seconds = timeout_seconds

    def server_ready(self) -> bool:
        """Whether the gateway is ready."""
        return not self._readiness.reasons()

    def model_ready(self, name: str, version_text: str) -> bool:
        """Whether the model version is ready; False if it is unknown."""
        if version_text and not _is_number(version_text):
            return False
        return self._servers.is_ready(name, int(version_text) if version_text else None)

    def check_active(self, name: str, version_text: str) -> None:
        """Check that a model version is served, ready or not.

        Raises:
            GatewayError: NO_ACTIVE_INFERENCE; INVALID_REQUEST for a version that is no number.
        """
        self._servers.check_active(name, self._version(name, version_text))

    def model_names(self) -> list[str]:
        """Return the names of the models with inference servers, ready or not."""
        return list(dict.fromkeys(status.model for status in self._servers.statuses()))

    async def metadata(self, name: str, version_text: str) -> pb.ModelMetadataResponse:
        """Return the model's inputs and outputs, and its ready versions.

        Raises:
            GatewayError: as `InferenceServers.stream`, and what the inference server says.
        """
        number = self._version(name, version_text)
        stream = self._servers.stream(name, number)
        response = await stream.metadata(name, str(number))
        del response.versions[:]
        response.versions.extend(map(str, self._servers.ready_versions(name)))
        return response

    async def config(self, name: str, version_text: str) -> pb.ModelConfigResponse:
        """Return the model's configuration in Triton's format, with its ready versions.

        Raises:
            GatewayError: as `metadata`; NOT_IMPLEMENTED if the inference server has none.
        """
        number = self._version(name, version_text)
        stream = self._servers.stream(name, number)
        response = await stream.config(name, str(number))
        specific = pb.ModelVersionPolicy.Specific(versions=self._servers.ready_versions(name))
        response.config.version_policy.CopyFrom(pb.ModelVersionPolicy(specific=specific))
        return response

    async def statistics(self, name: str, version_text: str) -> pb.ModelStatisticsResponse:
        """Return counts and times of the inference servers since their start.

        Args:
            name: a model, or empty for all ready models.
            version_text: a version of it, or empty for all ready versions.

        Raises:
            GatewayError: as `InferenceServers.awake_stream`, and what the inference server says:
                NOT_IMPLEMENTED where it counts nothing.
        """
        targets = [
            (model, number, self._servers.awake_stream(model, number))
            for model, number in self._statistics_targets(name, version_text)
        ]
        responses = await asyncio.gather(
            *(stream.statistics(model, str(number)) for model, number, stream in targets)
        )
        merged = pb.ModelStatisticsResponse()
        for response in responses:
            merged.model_stats.extend(response.model_stats)
        return merged

    def index(self, repository: str, *, only_ready: bool) -> pb.RepositoryIndexResponse:
        """Return the models with inference servers.

        Raises:
            GatewayError: NOT_IMPLEMENTED for a named repository: there is only one.
        """
        if repository:
            message = (
                "repository name: expected none, because there is one repository: leave it out"
            )
            raise GatewayError(ErrorCode.NOT_IMPLEMENTED, message)
        return _repository_index(self._servers, only_ready=only_ready)

    async def infer(
        self, request: pb.ModelInferRequest, remaining: float | None = None
    ) -> pb.ModelInferResponse:
        """Return the response to `request`.

        Args:
            request: is modified.
            remaining: seconds until the caller's deadline, if any.

        Raises:
            GatewayError: as `InferenceServers.stream`, and what the inference server says.
        """
        name = request.model_name
        number = self._version(name, request.model_version)
        stream = self._servers.stream(name, number)
        request.model_version = str(number)
        response = await stream.infer(request, self._timeout(request, remaining))
        self._metrics.queue.observe(response.parameters[QUEUE_SECONDS].double_param)
        self._metrics.infer.observe(response.parameters[INFER_SECONDS].double_param)
        return response

    async def infer_raw(
        self, head: pb.ModelInferRequest, raws: Sequence[RawBytes], remaining: float | None = None
    ) -> InferenceReply:
        """Return the response to a request whose tensors stay outside the protobuf object.

        Args:
            head: the request without id and contents; is modified.
            raws: the bytes of its inputs.
            remaining: as for `infer`.

        Raises:
            GatewayError: as `infer`.
        """
        name = head.model_name
        number = self._version(name, head.model_version)
        stream = self._servers.stream(name, number)
        timeout = self._timeout(head, remaining)
        head.model_version = str(number)
        head.parameters[TIMEOUT].int64_param = timeout_microseconds(timeout)
        form = InferRequestTemplate(head, ID_BYTES, [len(raw) for raw in raws])
        reply = await stream.request(form, raws or (b"",), timeout)
        queue, infer = reply.timings()
        self._metrics.queue.observe(queue)
        self._metrics.infer.observe(infer)
        return reply

    def has_model(self, name: str) -> bool:
        """Whether the model has an inference server, so that its name can be a metric label."""
        return any(status.model == name for status in self._servers.statuses())

    def _statistics_targets(self, name: str, text: str) -> list[tuple[str, int]]:
        """Return the model versions to collect statistics from."""
        if not name:
            ready = self._servers.ready_versions
            return [(model, number) for model in self.model_names() for number in ready(model)]
        numbers = [] if text else self._servers.ready_versions(name)
        return [(name, number) for number in numbers or [self._version(name, text)]]

    def _version(self, name: str, text: str) -> int:
        if not text:
            return self._servers.choose(name)
        if not _is_number(text):
            message = f"model version: expected a whole number, got '{text[:40]}'"
            raise GatewayError(ErrorCode.INVALID_REQUEST, message)
        return int(text)

    def _timeout(self, request: pb.ModelInferRequest, remaining: float | None) -> float:
        asked = min_timeout(timeout_seconds(request), remaining)
        return self.timeout_seconds if asked is None else min(self.timeout_seconds, asked)


def _is_number(text: str) -> bool:
    """Whether it is a whole number that fits 64 bits; `¹` is a digit but not a number."""
    return text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS


def _repository_index(servers: InferenceServers, *, only_ready: bool) -> pb.RepositoryIndexResponse:
    """Return each model version with an inference server, and its state."""
    response = pb.RepositoryIndexResponse()
    for status in servers.statuses():
        ready = servers.is_ready(status.model, status.version)
        if ready or not only_ready:
            listed = response.models.add(name=status.model, version=str(status.version))
            listed.state, listed.reason = (_READY, "") if ready else _not_ready_state(status)
    return response


def _not_ready_state(status: ServerStatus) -> tuple[str, str]:
    """Return state and reason of a model version that is not ready here."""
    if status.asleep:
        return _STATES["stopped"], "asleep: a call starts its server"
    if status.state == "ready":
        if not status.wanted:  # the supervisor has not stopped it yet
            return _STATES["draining"], "draining"
        return _STATES["ready"], "connecting to its inference server"
    phase = f" ({status.phase})" if status.phase else ""
    return _STATES[status.state], status.reason or f"{status.state}{phase}"
