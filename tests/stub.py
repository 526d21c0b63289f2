"""Stock grpc.aio's client of the protocol.

grpc's generated stubs would look the message classes up in protobuf's default pool; this is the
same for ours (see `protos/generate.py`).
"""

from __future__ import annotations

from typing import Any

import grpc.aio

from protos.methods import RPC_METHODS, method_path


class InferenceStub:
    """The protocol's RPCs on a channel: `await stub.ModelReady(request, timeout=1)`."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        for name, rpc in RPC_METHODS.items():
            connect = channel.stream_stream if rpc.streaming else channel.unary_unary
            callable_ = connect(
                method_path(name),
                request_serializer=rpc.request.SerializeToString,
                response_deserializer=rpc.response.FromString,
            )
            setattr(self, name, callable_)

    def __getattr__(self, name: str) -> Any:  # Any: grpc's multi-callables differ by RPC
        raise AttributeError(name)
