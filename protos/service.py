"""The protocol's service on stock grpc.aio: for the front door, and for clients.

grpc's generated stubs would look the message classes up in protobuf's default pool; this is the
same for ours (see `generate.py`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from typing import Any, Protocol

import grpc
import grpc.aio

from protos import open_inference_pb2 as pb
from protos.methods import RPCS, SERVICE, path_of

Context = grpc.aio.ServicerContext[Any, Any]


class InferenceServicer(Protocol):
    """What a server of the protocol implements: a method for each RPC.

    A method may raise its package's error; the server's interceptor turns it into a status.
    """

    async def ServerLive(  # noqa: N802 - the protocol's name, as all below
        self, request: pb.ServerLiveRequest, context: Context
    ) -> pb.ServerLiveResponse: ...

    async def ServerReady(  # noqa: N802
        self, request: pb.ServerReadyRequest, context: Context
    ) -> pb.ServerReadyResponse: ...

    async def ModelReady(  # noqa: N802
        self, request: pb.ModelReadyRequest, context: Context
    ) -> pb.ModelReadyResponse: ...

    async def ServerMetadata(  # noqa: N802
        self, request: pb.ServerMetadataRequest, context: Context
    ) -> pb.ServerMetadataResponse: ...

    async def ModelMetadata(  # noqa: N802
        self, request: pb.ModelMetadataRequest, context: Context
    ) -> pb.ModelMetadataResponse: ...

    async def ModelInfer(  # noqa: N802
        self, request: pb.ModelInferRequest, context: Context
    ) -> pb.ModelInferResponse: ...

    def ModelStreamInfer(  # noqa: N802
        self, requests: AsyncIterator[pb.ModelInferRequest], context: Context
    ) -> AsyncIterator[pb.ModelStreamInferResponse] | Awaitable[None]: ...

    async def ModelConfig(  # noqa: N802
        self, request: pb.ModelConfigRequest, context: Context
    ) -> pb.ModelConfigResponse: ...

    async def ModelStatistics(  # noqa: N802
        self, request: pb.ModelStatisticsRequest, context: Context
    ) -> pb.ModelStatisticsResponse: ...

    async def RepositoryIndex(  # noqa: N802
        self, request: pb.RepositoryIndexRequest, context: Context
    ) -> pb.RepositoryIndexResponse: ...


def add_inference_service(servicer: InferenceServicer, server: grpc.aio.Server) -> None:
    """Let `server` answer the protocol's RPCs with the methods of `servicer`."""
    handlers = {}
    for name, rpc in RPCS.items():
        wrap = (
            grpc.stream_stream_rpc_method_handler
            if rpc.streaming
            else grpc.unary_unary_rpc_method_handler
        )
        handlers[name] = wrap(
            getattr(servicer, name),
            request_deserializer=rpc.request.FromString,
            response_serializer=rpc.response.SerializeToString,
        )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))


class InferenceStub:
    """The protocol's RPCs on a channel: `await stub.ModelReady(request, timeout=1)`."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        for name, rpc in RPCS.items():
            connect = channel.stream_stream if rpc.streaming else channel.unary_unary
            callable_ = connect(
                path_of(name),
                request_serializer=rpc.request.SerializeToString,
                response_deserializer=rpc.response.FromString,
            )
            setattr(self, name, callable_)

    def __getattr__(self, name: str) -> Any:  # Any: grpc's multi-callables differ by RPC
        raise AttributeError(name)
