"""The protocol's operations, independent of the transport."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib.metadata import version
from typing import TypeVar

from google.protobuf.message import Message

from gateway.auth.identity import Identity
from gateway.auth.model_access import ModelUser
from gateway.errors import GatewayError
from gateway.metrics import GatewayMetrics
from gateway.oip.call_trace import CallTrace
from gateway.readiness import Readiness
from gateway.upstream.inference_stream import ID_BYTES, InferenceReply, InferenceStreamClient
from gateway.upstream.servers import InferenceServers, ServerStatus
from protos import open_inference_pb2 as pb
from protos.errors import ErrorCode
from protos.message_templates import InferRequestTemplate, RawBytes
from protos.parameters import (
    INFER_SECONDS,
    QUEUE_SECONDS,
    TIMEOUT,
    min_timeout,
    sequence_id,
    set_owner,
    set_trace,
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

T = TypeVar("T")


class DataPlane:
    """Forwards each call to the inference server of its model version.

    `caller` is None for an anonymous call. A private model that the caller may not use is answered
    like one that has no server, by asking `_no_servers`.
    """

    def __init__(
        self,
        servers: InferenceServers,
        readiness: Readiness,
        metrics: GatewayMetrics,
        *,
        timeout_seconds: float,
    ) -> None:
        self._servers = servers
        self._no_servers = InferenceServers(max_message_bytes=0, drain_seconds=0)
        self._readiness = readiness
        self._metrics = metrics
        self.timeout_seconds = timeout_seconds

    def server_ready(self) -> bool:
        """Whether the gateway is ready."""
        return not self._readiness.reasons()

    def model_ready(self, caller: Identity | None, name: str, version_text: str) -> bool:
        """Whether the model version is ready; False if it is unknown."""
        if version_text and not _is_number(version_text):
            return False
        version = int(version_text) if version_text else None
        return self._servers_for(caller, name).is_ready(name, version)

    def check_active(self, caller: Identity | None, name: str, version_text: str) -> None:
        """Check that a model version is served, ready or not.

        Raises:
            GatewayError: NO_ACTIVE_INFERENCE; INVALID_REQUEST for a version that is no number.
        """
        servers = self._servers_for(caller, name)
        servers.check_active(name, _version(servers, name, version_text))

    def model_names(self, caller: Identity | None) -> list[str]:
        """Return the names of the models with inference servers, ready or not."""
        return list(dict.fromkeys(status.model for status in self._statuses(caller)))

    async def metadata(
        self, caller: Identity | None, name: str, version_text: str
    ) -> pb.ModelMetadataResponse:
        """Return the model's inputs and outputs, and its ready versions.

        Raises:
            GatewayError: as `InferenceServers.stream`, and what the inference server says.
        """
        servers = self._servers_for(caller, name)
        number = _version(servers, name, version_text)
        stream = _stream_of(servers, caller, name, number)
        response = await stream.metadata(name, str(number))
        del response.versions[:]
        response.versions.extend(map(str, self._servers.ready_versions(name)))
        return response

    async def config(
        self, caller: Identity | None, name: str, version_text: str
    ) -> pb.ModelConfigResponse:
        """Return the model's configuration in Triton's format, with its ready versions.

        Raises:
            GatewayError: as `metadata`; NOT_IMPLEMENTED if the inference server has none.
        """
        servers = self._servers_for(caller, name)
        number = _version(servers, name, version_text)
        stream = _stream_of(servers, caller, name, number)
        response = await stream.config(name, str(number))
        specific = pb.ModelVersionPolicy.Specific(versions=self._servers.ready_versions(name))
        response.config.version_policy.CopyFrom(pb.ModelVersionPolicy(specific=specific))
        return response

    async def statistics(
        self, caller: Identity | None, name: str, version_text: str
    ) -> pb.ModelStatisticsResponse:
        """Return counts and times of the inference servers since their start.

        Args:
            caller: the client.
            name: a model, or empty for all ready models.
            version_text: a version of it, or empty for all ready versions.

        Raises:
            GatewayError: as `InferenceServers.awake_streams`, and what the inference server says:
                NOT_IMPLEMENTED where it counts nothing.
        """
        servers = self._servers_for(caller, name)
        names = [name] if name else self.model_names(caller)
        targets = [
            (model, number, stream)
            for model in names
            for number in _statistics_versions(servers, model, version_text, named=bool(name))
            for stream in servers.awake_streams(model, number)
        ]
        responses = await asyncio.gather(
            *(stream.statistics(model, str(number)) for model, number, stream in targets)
        )
        totals: dict[tuple[str, str], pb.ModelStatistics] = {}
        for response in responses:
            for statistics in response.model_stats:
                key = (statistics.name, statistics.version)
                _add(totals.setdefault(key, pb.ModelStatistics()), statistics)
        return pb.ModelStatisticsResponse(model_stats=totals.values())

    def index(
        self, caller: Identity | None, repository: str, *, only_ready: bool
    ) -> pb.RepositoryIndexResponse:
        """Return the models with inference servers.

        Raises:
            GatewayError: NOT_IMPLEMENTED for a named repository: there is only one.
        """
        if repository:
            message = (
                "repository name: expected none, because there is one repository: leave it out"
            )
            raise GatewayError(ErrorCode.NOT_IMPLEMENTED, message)
        response, user = pb.RepositoryIndexResponse(), ModelUser.of(caller)
        for status in self._statuses(caller):
            ready = self._servers.is_ready(status.model, status.version)
            if ready or not only_ready:
                listed = response.models.add(name=status.model, version=str(status.version))
                state = (_READY, "") if ready else _not_ready_state(status, user)
                listed.state, listed.reason = state
        return response

    async def infer(
        self,
        caller: Identity | None,
        request: pb.ModelInferRequest,
        remaining: float | None = None,
        trace: CallTrace | None = None,
    ) -> pb.ModelInferResponse:
        """Return the response to `request`.

        Args:
            caller: the client.
            request: is modified.
            remaining: seconds until the caller's deadline, if any.
            trace: of a call that is sampled.

        Raises:
            GatewayError: as `InferenceServers.stream`, and what the inference server says.
        """
        name = request.model_name
        servers = self._servers_for(caller, name)
        number = _version(servers, name, request.model_version)
        whose = _check_caller(servers, caller, name)
        request.model_version = str(number)
        timeout = self._timeout(request, remaining)

        def call(stream: InferenceStreamClient) -> Awaitable[pb.ModelInferResponse]:
            set_owner(request, _owner(caller, stream))
            set_trace(request, {} if trace is None else trace.begin_hop(name, number))
            return stream.infer(request, timeout, whose)

        response = await _call_replica(
            servers, caller, name, number, call, sequence=_sequence(request)
        )
        if trace is not None:
            trace.end_hop()
        self._observe(
            name,
            response.parameters[QUEUE_SECONDS].double_param,
            response.parameters[INFER_SECONDS].double_param,
        )
        return response

    async def infer_raw(
        self,
        caller: Identity | None,
        head: pb.ModelInferRequest,
        raws: Sequence[RawBytes],
        remaining: float | None = None,
        trace: CallTrace | None = None,
    ) -> InferenceReply:
        """Return the response to a request whose tensors stay outside the protobuf object.

        Args:
            caller: the client.
            head: the request without id and contents; is modified.
            raws: the bytes of its inputs.
            remaining: as for `infer`.
            trace: as for `infer`.

        Raises:
            GatewayError: as `infer`.
        """
        name = head.model_name
        servers = self._servers_for(caller, name)
        number = _version(servers, name, head.model_version)
        timeout = self._timeout(head, remaining)
        whose = _check_caller(servers, caller, name)
        head.model_version = str(number)
        head.parameters[TIMEOUT].int64_param = timeout_microseconds(timeout)

        def call(stream: InferenceStreamClient) -> Awaitable[InferenceReply]:
            set_owner(head, _owner(caller, stream))
            set_trace(head, {} if trace is None else trace.begin_hop(name, number))
            form = InferRequestTemplate(head, ID_BYTES, [len(raw) for raw in raws])
            return stream.request(form, raws or (b"",), timeout, whose)

        reply = await _call_replica(servers, caller, name, number, call, sequence=_sequence(head))
        if trace is not None:
            trace.end_hop()
        self._observe(name, *reply.timings())
        return reply

    def _observe(self, model: str, queue: float, infer: float) -> None:
        self._metrics.observe_stage(model, "queue", queue)
        self._metrics.observe_stage(model, "infer", infer)

    def has_model(self, name: str) -> bool:
        """Whether the model has an inference server, so that its name can be a metric label."""
        return any(status.model == name for status in self._servers.statuses())

    def _servers_for(self, caller: Identity | None, name: str) -> InferenceServers:
        """Return the servers as `caller` knows them, of a model."""
        private = self._servers.private
        if name in private and not ModelUser.of(caller).may_use_private(private[name]):
            return self._no_servers
        return self._servers

    def _statuses(self, caller: Identity | None) -> list[ServerStatus]:
        """Return the statuses of the servers whose models the caller may use."""
        user = ModelUser.of(caller)
        return [
            status
            for status in self._servers.statuses()
            if not status.private or user.may_use_private(status.owner_id)
        ]

    def _timeout(self, request: pb.ModelInferRequest, remaining: float | None) -> float:
        asked = min_timeout(timeout_seconds(request), remaining)
        return self.timeout_seconds if asked is None else min(self.timeout_seconds, asked)


def _stream_of(
    servers: InferenceServers,
    caller: Identity | None,
    name: str,
    number: int,
    sequence: str | None = None,
) -> InferenceStreamClient:
    """Return the stream to a replica; who manages a model that has failed is told why."""
    try:
        return servers.stream(name, number, sequence)
    except GatewayError as error:
        failed = servers.failure(name, number)
        if failed is None or not ModelUser.of(caller).may_use_private(failed.owner_id):
            raise
        message = f"the inference server for {failed.title} failed: {failed.reason}"
        raise GatewayError(error.code, message, retry_after=error.retry_after) from None


async def _call_replica(
    servers: InferenceServers,
    caller: Identity | None,
    name: str,
    number: int,
    call: Callable[[InferenceStreamClient], Awaitable[T]],
    *,
    sequence: str | None,
) -> T:
    """Return what a replica answers, or another one if the first has refused the call."""
    try:
        return await call(_stream_of(servers, caller, name, number, sequence))
    except GatewayError as error:
        other = servers.other_stream(name, number, error, sequence)
        if other is None:
            raise
    return await call(other)


def _check_caller(servers: InferenceServers, caller: Identity | None, name: str) -> str | None:
    """Return whose call it is, None: an anonymous one; raise KEY_SUSPENDED."""
    whose = None if caller is None else caller.limit_key
    if servers.crashes.refused:
        servers.crashes.check(whose, name)
    return whose


def _owner(caller: Identity | None, stream: InferenceStreamClient) -> str | None:
    """Return whom the key of a call belongs to, if the inference server wants to be told."""
    return caller.profile_id if caller is not None and stream.by_owner else None


def _sequence(request: pb.ModelInferRequest) -> str | None:
    try:
        return sequence_id(request)
    except ValueError as error:
        raise GatewayError(ErrorCode.INVALID_REQUEST, str(error)) from None


def _version(servers: InferenceServers, name: str, text: str) -> int:
    if not text:
        return servers.choose(name)
    if not _is_number(text):
        message = f"model version: expected a whole number, got '{text[:40]}'"
        raise GatewayError(ErrorCode.INVALID_REQUEST, message)
    return int(text)


def _statistics_versions(
    servers: InferenceServers, name: str, text: str, *, named: bool
) -> list[int]:
    """Return the versions of a model to collect statistics from; it may be `named`, or listed."""
    ready = [] if text else servers.ready_versions(name)
    return ready or ([_version(servers, name, text)] if named else [])


def _is_number(text: str) -> bool:
    """Whether it is a whole number that fits 64 bits; `¹` is a digit but not a number."""
    return text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS


def _not_ready_state(status: ServerStatus, user: ModelUser) -> tuple[str, str]:
    """Return state and reason of a model version that is not ready here, as `user` is told."""
    if status.asleep:
        return _STATES["stopped"], "asleep: a call starts its server"
    if status.state == "ready":
        if not status.wanted:  # the supervisor has not stopped it yet
            return _STATES["draining"], "draining"
        return _STATES["ready"], "connecting to its inference server"
    phase = f" ({status.phase})" if status.phase else ""
    manages = user.may_use_private(status.owner_id)
    reason = status.reason if manages else status.public_reason
    return _STATES[status.state], reason or f"{status.state}{phase}"


def _add(total: pb.ModelStatistics, part: pb.ModelStatistics) -> None:
    """Add what another replica has counted."""
    total.name, total.version = part.name, part.version
    total.last_inference = max(total.last_inference, part.last_inference)
    total.inference_count += part.inference_count
    total.execution_count += part.execution_count
    _add_durations(total.inference_stats, part.inference_stats)
    sizes = {batch.batch_size: batch for batch in total.batch_stats}
    for batch in part.batch_stats:
        mine = sizes.get(batch.batch_size)
        if mine is None:
            mine = total.batch_stats.add(batch_size=batch.batch_size)
        _add_durations(mine, batch)


def _add_durations(total: Message, part: Message) -> None:
    for field, duration in part.ListFields():
        if isinstance(duration, pb.StatisticDuration):
            mine: pb.StatisticDuration = getattr(total, field.name)
            mine.SetInParent()  # also one of nothing
            mine.count += duration.count
            mine.ns += duration.ns
