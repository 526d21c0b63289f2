"""What the protocol's calls mean at the gateway, whichever transport they came by."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from importlib.metadata import version

from gateway.errors import GatewayError
from gateway.metrics import GatewayMetrics
from gateway.oip.repository import repository_index
from gateway.readiness import Readiness
from gateway.upstream.inference_stream import ID_BYTES, InferenceReply
from gateway.upstream.servers import InferenceServers
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

_MOST_DIGITS = 18
SERVER_NAME = "slipstream"
SERVER_VERSION = version("slipstream")
EXTENSIONS = ("model_configuration", "binary_tensor_data", "parameters", "statistics")
"""As server metadata lists them. Not `model_repository`: that is loading and unloading, too."""


class DataPlane:
    """Finds the server of a model version and hands the call over."""

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
        self._timeout_seconds = timeout_seconds

    def server_ready(self) -> bool:
        """Whether the gateway takes calls."""
        return not self._readiness.reasons()

    def model_ready(self, name: str, version_text: str) -> bool:
        """Whether calls for the model version are answered; False also for an unknown one."""
        if version_text and not _is_number(version_text):
            return False
        return self._servers.is_ready(name, int(version_text) if version_text else None)

    def models(self) -> list[str]:
        """Return the names of the models that are served, ready or not."""
        return list(dict.fromkeys(status.model for status in self._servers.statuses()))

    async def metadata(self, name: str, version_text: str) -> pb.ModelMetadataResponse:
        """Return what the model takes and gives, with the versions that are ready.

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
        """Return the model's configuration as Triton has it, with the versions that are ready.

        Raises:
            GatewayError: as `metadata`; NOT_IMPLEMENTED where the inference server has none.
        """
        number = self._version(name, version_text)
        stream = self._servers.stream(name, number)
        response = await stream.config(name, str(number))
        specific = pb.ModelVersionPolicy.Specific(versions=self._servers.ready_versions(name))
        response.config.version_policy.CopyFrom(pb.ModelVersionPolicy(specific=specific))
        return response

    async def statistics(self, name: str, version_text: str) -> pb.ModelStatisticsResponse:
        """Return what the inference servers have counted and timed since they started.

        Args:
            name: of a model, or empty for all that are ready.
            version_text: of the model, or empty for all that are ready.

        Raises:
            GatewayError: as `InferenceServers.awake_stream`, and what the inference server says:
                NOT_IMPLEMENTED where it counts nothing.
        """
        counting = [
            (model, number, self._servers.awake_stream(model, number))
            for model, number in self._counting(name, version_text)
        ]
        answers = await asyncio.gather(
            *(stream.statistics(model, str(number)) for model, number, stream in counting)
        )
        merged = pb.ModelStatisticsResponse()
        for answer in answers:
            merged.model_stats.extend(answer.model_stats)
        return merged

    def index(self, repository: str, *, only_ready: bool) -> pb.RepositoryIndexResponse:
        """Return the models that servers are known for.

        Raises:
            GatewayError: NOT_IMPLEMENTED for a repository by name: there is only one.
        """
        if repository:
            message = "repository name: there is one repository, leave the name out"
            raise GatewayError(ErrorCode.NOT_IMPLEMENTED, message)
        return repository_index(self._servers, only_ready=only_ready)

    async def infer(
        self, request: pb.ModelInferRequest, remaining: float | None = None
    ) -> pb.ModelInferResponse:
        """Return the answer to `request`.

        Args:
            request: taken over: it may be written to.
            remaining: seconds that the caller will wait, if it said so.

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

    async def infer_apart(
        self, head: pb.ModelInferRequest, raws: Sequence[RawBytes], remaining: float | None = None
    ) -> InferenceReply:
        """Return the answer to a request whose tensors need no place in protobuf's object.

        Args:
            head: the request without its id and contents; taken over.
            raws: the elements of its inputs.
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

    def known(self, name: str) -> bool:
        """Whether a server is wanted for the model, so that its name can be a label."""
        return any(status.model == name for status in self._servers.statuses())

    def _counting(self, name: str, text: str) -> list[tuple[str, int]]:
        """Return the model versions whose statistics are asked for."""
        if not name:
            ready = self._servers.ready_versions
            return [(model, number) for model in self.models() for number in ready(model)]
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
        return self._timeout_seconds if asked is None else min(self._timeout_seconds, asked)


def _is_number(text: str) -> bool:
    """Whether it is a whole number that fits 64 bits; `¹` is a digit, and no number."""
    return text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
