"""The methods of `inference.GRPCInferenceService`: their paths, and what goes in and out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from google.protobuf.message import Message

from protos import open_inference_pb2 as pb

SERVICE = "inference.GRPCInferenceService"


@dataclass(frozen=True, slots=True)
class Rpc:
    """One method: what goes in, what comes out, and whether both are streams."""

    request: type[Message]
    response: type[Message]
    streaming: bool = False


RPCS: Mapping[str, Rpc] = {
    "ServerLive": Rpc(pb.ServerLiveRequest, pb.ServerLiveResponse),
    "ServerReady": Rpc(pb.ServerReadyRequest, pb.ServerReadyResponse),
    "ModelReady": Rpc(pb.ModelReadyRequest, pb.ModelReadyResponse),
    "ServerMetadata": Rpc(pb.ServerMetadataRequest, pb.ServerMetadataResponse),
    "ModelMetadata": Rpc(pb.ModelMetadataRequest, pb.ModelMetadataResponse),
    "ModelInfer": Rpc(pb.ModelInferRequest, pb.ModelInferResponse),
    "ModelStreamInfer": Rpc(pb.ModelInferRequest, pb.ModelStreamInferResponse, streaming=True),
    "ModelConfig": Rpc(pb.ModelConfigRequest, pb.ModelConfigResponse),
    "ModelStatistics": Rpc(pb.ModelStatisticsRequest, pb.ModelStatisticsResponse),
    "RepositoryIndex": Rpc(pb.RepositoryIndexRequest, pb.RepositoryIndexResponse),
}


def path_of(name: str) -> str:
    """Return the full path of a method, as HTTP/2 has it."""
    return f"/{SERVICE}/{name}"
