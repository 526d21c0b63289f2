"""The protocol's methods over grpc: nothing but translation to the data plane."""

# ruff: noqa: ARG002, N802 - the methods have the protocol's names and grpc's signature

from __future__ import annotations

from collections.abc import AsyncIterator
from importlib import metadata

from inference_server.dataplane import DataPlane
from inference_server.lifecycle import Lifecycle
from inference_server.stream import InferenceStream
from protos import open_inference_pb2 as pb
from protos.service import Context

SERVER_NAME = "slipstream-inference-server"


class Servicer:
    """Implements `protos.service.InferenceServicer`. Errors are raised, for the interceptor."""

    def __init__(self, plane: DataPlane, lifecycle: Lifecycle) -> None:
        self._plane = plane
        self._lifecycle = lifecycle
        self._streams: set[InferenceStream] = set()
        self._version = _version()

    async def ServerLive(
        self, request: pb.ServerLiveRequest, context: Context
    ) -> pb.ServerLiveResponse:
        """Say that the event loop runs."""
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(
        self, request: pb.ServerReadyRequest, context: Context
    ) -> pb.ServerReadyResponse:
        """Say whether inference calls are taken."""
        return pb.ServerReadyResponse(ready=self._plane.ready())

    async def ModelReady(
        self, request: pb.ModelReadyRequest, context: Context
    ) -> pb.ModelReadyResponse:
        """Say whether inference calls for one model are taken; no error for an unknown one."""
        return pb.ModelReadyResponse(ready=self._plane.model_ready(request.name, request.version))

    async def ServerMetadata(
        self, request: pb.ServerMetadataRequest, context: Context
    ) -> pb.ServerMetadataResponse:
        """Say who we are. Only extensions that clients must know about are listed, so none."""
        return pb.ServerMetadataResponse(name=SERVER_NAME, version=self._version)

    async def ModelMetadata(
        self, request: pb.ModelMetadataRequest, context: Context
    ) -> pb.ModelMetadataResponse:
        """Describe the model's inputs and outputs."""
        return self._plane.metadata(request.name, request.version)

    async def ModelInfer(
        self, request: pb.ModelInferRequest, context: Context
    ) -> pb.ModelInferResponse:
        """Answer one call."""
        return await self._plane.infer(request)

    async def ModelStreamInfer(
        self, requests: AsyncIterator[pb.ModelInferRequest], context: Context
    ) -> None:
        """Answer the calls of a stream."""
        stream = InferenceStream(self._plane, self._lifecycle, context)
        self._streams.add(stream)
        try:
            await stream.serve()
        finally:
            self._streams.discard(stream)

    def close_streams(self) -> None:
        """Have every stream end as soon as the calls that were read are answered."""
        for stream in self._streams:
            stream.close()


def _version() -> str:
    try:
        return metadata.version("slipstream")
    except metadata.PackageNotFoundError:
        return "0"
