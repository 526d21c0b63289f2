"""The methods of `inference.GRPCInferenceService`: paths and message types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from google.protobuf.message import Message

from protos import open_inference_pb2 as pb

SERVICE = "inference.GRPCInferenceService"
STREAM_METHOD = f"{SERVICE}/ModelStreamInfer"
"""By which gateways and workers call models."""


@dataclass(frozen=True, slots=True)
class RpcMethod:
    """One method; `streaming`: request and response are streams."""

    request: type[Message]
    response: type[Message]
    streaming: bool = False


RPC_METHODS: Mapping[str, RpcMethod] = {
    "ServerLive": RpcMethod(pb.ServerLiveRequest, pb.ServerLiveResponse),
    "ServerReady": RpcMethod(pb.ServerReadyRequest, pb.ServerReadyResponse),
    "ModelReady": RpcMethod(pb.ModelReadyRequest, pb.ModelReadyResponse),
    "ServerMetadata": RpcMethod(pb.ServerMetadataRequest, pb.ServerMetadataResponse),
    "ModelMetadata": RpcMethod(pb.ModelMetadataRequest, pb.ModelMetadataResponse),
    "ModelInfer": RpcMethod(pb.ModelInferRequest, pb.ModelInferResponse),
    "ModelStreamInfer": RpcMethod(
        pb.ModelInferRequest, pb.ModelStreamInferResponse, streaming=True
    ),
    "ModelConfig": RpcMethod(pb.ModelConfigRequest, pb.ModelConfigResponse),
    "ModelStatistics": RpcMethod(pb.ModelStatisticsRequest, pb.ModelStatisticsResponse),
    "RepositoryIndex": RpcMethod(pb.RepositoryIndexRequest, pb.RepositoryIndexResponse),
}


def method_path(name: str) -> str:
    """Return the full path of a method, such as `/inference.GRPCInferenceService/ModelInfer`."""
    return f"/{SERVICE}/{name}"
