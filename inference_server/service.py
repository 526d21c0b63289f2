"""The protocol's methods: nothing but translation between messages and the data plane."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib import metadata
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from inference_server.data_plane.active_streams import ActiveStreams
from inference_server.data_plane.arrival_rate import ArrivalRate
from inference_server.data_plane.served_model import ServedModel
from inference_server.data_plane.streams import InferenceStream
from inference_server.data_plane.unary import UnaryInference, to_rpc_error
from inference_server.errors import InferenceError, as_inference_error
from inference_server.lifecycle import Lifecycle
from inference_server.triton_extensions import EXTENSIONS, TritonExtensions
from protos import open_inference_pb2 as pb
from protos.errors import ErrorCode
from protos.methods import RPC_METHODS, method_path
from transport import Router, StreamCall, UnaryCall

SERVER_NAME = "slipstream-inference-server"

Request = TypeVar("Request", bound=Message)


class InferenceService:
    """Answers the protocol's calls, and knows the streams that are open."""

    def __init__(
        self,
        plane: ServedModel,
        repository: TritonExtensions,
        lifecycle: Lifecycle,
        *,
        linger_seconds: float,
    ) -> None:
        """Answer from `plane`; let a brisk stream keep us awake for `linger_seconds`."""
        self._plane = plane
        self._repository = repository
        self._lifecycle = lifecycle
        self._linger_seconds = linger_seconds
        self._streams: set[InferenceStream] = set()
        self._company = ActiveStreams()
        self._version = metadata.version("slipstream")

    def add_to(self, router: Router) -> None:
        """Let `router` know the methods."""
        plane = self._plane
        self._add(router, pb.ServerLiveRequest, lambda _: pb.ServerLiveResponse(live=True))
        self._add(
            router, pb.ServerReadyRequest, lambda _: pb.ServerReadyResponse(ready=plane.ready())
        )
        self._add(router, pb.ModelReadyRequest, self._model_ready)
        self._add(router, pb.ServerMetadataRequest, self._server_metadata)
        self._add(
            router,
            pb.ModelMetadataRequest,
            lambda request: plane.metadata(request.name, request.version),
        )
        self._add(router, pb.ModelConfigRequest, self._repository.config)
        self._add(router, pb.ModelStatisticsRequest, self._repository.statistics)
        self._add(router, pb.RepositoryIndexRequest, self._repository.index)
        router.unary(method_path("ModelInfer"), self._infer)
        router.stream(method_path("ModelStreamInfer"), self._open)

    def _ended(self, stream: InferenceStream) -> None:
        self._streams.discard(stream)
        self._company.left(stream)

    def close_streams(self) -> None:
        """Have every stream end as soon as the calls that were read are answered."""
        for stream in list(self._streams):
            stream.close()

    def _add(
        self, router: Router, kind: type[Request], answer: Callable[[Request], Message]
    ) -> None:
        """Add the method whose request is a `kind`; it is answered at once, without a task."""
        (name,) = [name for name, rpc in RPC_METHODS.items() if rpc.request is kind]

        def handle(raw: bytes, _call: UnaryCall) -> bytes:
            try:
                return answer(parse_message(kind, raw)).SerializeToString()
            except Exception as error:  # noqa: BLE001 - `as_inference_error` knows which are ours
                raise to_rpc_error(as_inference_error(error)) from None

        router.unary(method_path(name), handle)

    def _model_ready(self, request: pb.ModelReadyRequest) -> pb.ModelReadyResponse:
        ready = self._plane.model_ready(request.name, request.version)
        return pb.ModelReadyResponse(ready=ready)

    def _server_metadata(self, _: pb.ServerMetadataRequest) -> pb.ServerMetadataResponse:
        return pb.ServerMetadataResponse(
            name=SERVER_NAME, version=self._version, extensions=EXTENSIONS
        )

    def _infer(self, raw: bytes, call: UnaryCall) -> asyncio.Future[bytes]:
        return UnaryInference(self._plane, raw, call.remaining()).answer

    def _open(self, call: StreamCall) -> InferenceStream:
        stream = InferenceStream(
            self._plane,
            self._lifecycle,
            call,
            pace=ArrivalRate(self._linger_seconds),
            company=self._company,
            on_end=self._ended,
        )
        self._streams.add(stream)
        return stream


def parse_message(kind: type[Request], raw: bytes) -> Request:
    """Return `raw` as a message, or raise INVALID_REQUEST."""
    try:
        return kind.FromString(raw)
    except DecodeError:
        message = f"the {len(raw)} bytes of the request are no message of this method"
        raise InferenceError(ErrorCode.INVALID_REQUEST, message) from None
