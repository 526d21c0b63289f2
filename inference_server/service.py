"""The gRPC services of a server: the Open Inference Protocol, health and reflection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib import metadata
from typing import TypeVar

from google.protobuf.message import DecodeError, Message
from grpc_health.v1 import health_pb2

from inference_server.data_plane.busy_poll import ActiveStreams, ArrivalRate
from inference_server.data_plane.responders import StreamResponder, UnaryResponder, to_rpc_error
from inference_server.data_plane.served_model import ServedModel
from inference_server.errors import InferenceError, as_inference_error
from inference_server.lifecycle import Lifecycle, LifecycleState
from inference_server.model_info import ModelInfo
from protos import open_inference_pb2 as pb
from protos.errors import ErrorCode
from protos.methods import RPC_METHODS, SERVICE, method_path
from transport import Router, StreamCall, UnaryCall
from transport.health import HEALTH, HealthService
from transport.reflection import add_reflection

SERVER_NAME = "slipstream-inference-server"

Request = TypeVar("Request", bound=Message)


class ProtocolService:
    """Answers the methods of the Open Inference Protocol, and keeps the open streams."""

    def __init__(
        self, model: ServedModel, info: ModelInfo, lifecycle: Lifecycle, *, spin_seconds: float
    ) -> None:
        """Serve `model`; poll for up to `spin_seconds` for a client that calls in a tight loop."""
        self._model = model
        self._info = info
        self._lifecycle = lifecycle
        self._spin_seconds = spin_seconds
        self._streams: set[StreamResponder] = set()
        self._active_streams = ActiveStreams()
        self._version = metadata.version("slipstream")

    def add_to(self, router: Router) -> None:
        """Register the methods."""
        self._add(router, pb.ServerLiveRequest, lambda _: pb.ServerLiveResponse(live=True))
        self._add(
            router,
            pb.ServerReadyRequest,
            lambda _: pb.ServerReadyResponse(ready=self._model.ready),
        )
        self._add(router, pb.ModelReadyRequest, self._model_ready)
        self._add(router, pb.ServerMetadataRequest, self._server_metadata)
        self._add(router, pb.ModelMetadataRequest, self._info.metadata)
        self._add(router, pb.ModelConfigRequest, self._info.config)
        self._add(router, pb.ModelStatisticsRequest, self._info.statistics)
        self._add(router, pb.RepositoryIndexRequest, self._info.index)
        router.unary(method_path("ModelInfer"), self._infer)
        router.stream(method_path("ModelStreamInfer"), self._open_stream)

    def close_streams(self) -> None:
        """Have every stream end once the calls that were read are answered."""
        for stream in list(self._streams):
            stream.close()

    def _add(
        self, router: Router, request_type: type[Request], answer: Callable[[Request], Message]
    ) -> None:
        """Register the method that takes a `request_type`; it is answered without a task."""
        (name,) = [name for name, rpc in RPC_METHODS.items() if rpc.request is request_type]

        def handle(raw: bytes, _call: UnaryCall) -> bytes:
            try:
                return answer(_parse_message(request_type, raw)).SerializeToString()
            except Exception as error:  # noqa: BLE001 - becomes the call's status
                raise to_rpc_error(as_inference_error(error)) from None

        router.unary(method_path(name), handle)

    def _model_ready(self, request: pb.ModelReadyRequest) -> pb.ModelReadyResponse:
        ready = self._model.ready and self._model.has_name(request.name, request.version)
        return pb.ModelReadyResponse(ready=ready)

    def _server_metadata(self, _: pb.ServerMetadataRequest) -> pb.ServerMetadataResponse:
        return pb.ServerMetadataResponse(
            name=SERVER_NAME, version=self._version, extensions=self._info.extensions
        )

    def _infer(self, raw: bytes, call: UnaryCall) -> asyncio.Future[bytes]:
        return UnaryResponder(self._model, raw, call.remaining()).response

    def _open_stream(self, call: StreamCall) -> StreamResponder:
        stream = StreamResponder(
            self._model,
            self._lifecycle,
            call,
            arrival_rate=ArrivalRate(self._spin_seconds),
            active_streams=self._active_streams,
            on_end=self._on_stream_end,
        )
        self._streams.add(stream)
        return stream

    def _on_stream_end(self, stream: StreamResponder) -> None:
        self._streams.discard(stream)
        self._active_streams.remove(stream)


def add_health_and_reflection(router: Router, lifecycle: Lifecycle) -> None:
    """Register grpc.health.v1, and server reflection of both services."""
    health = HealthService((SERVICE,), lambda: lifecycle.state is LifecycleState.READY)
    health.add_to(router)
    lifecycle.on_change(lambda: health.notify(final=lifecycle.state is LifecycleState.DRAINING))
    add_reflection(router, (SERVICE, HEALTH), (pb.DESCRIPTOR, health_pb2.DESCRIPTOR))


def _parse_message(request_type: type[Request], raw: bytes) -> Request:
    try:
        return request_type.FromString(raw)
    except DecodeError:
        name = request_type.DESCRIPTOR.name
        message = f"the {len(raw)} bytes of the request are not a {name}"
        raise InferenceError(ErrorCode.INVALID_REQUEST, message) from None
