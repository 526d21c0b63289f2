"""A stock grpc.aio server without a model: the upper limit of the stack.

    python -m benchmarks.apps.grpc_echo PORT

It serves a model `tiny` with the signature of `benchmarks.models.tiny_model`, and always answers
with the same numbers. It implements what perf_analyzer calls, without statistics.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import Any, TypeAlias

import grpc
import grpc.aio
import numpy as np

from protos import open_inference_pb2 as pb
from protos.methods import RPC_METHODS, SERVICE

NAME = "tiny"
_ROW, _ANSWER = 4, np.array([0.25, 0.25, 0.5], "<f4")
_PLATFORM = "echo"

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]


class EchoService:
    """The protocol's unary methods that perf_analyzer calls."""

    def __init__(self) -> None:
        self._answer = pb.ModelInferResponse(model_name=NAME, model_version="1")
        self._answer.outputs.add(name="y", datatype="FP32", shape=[1, _ANSWER.size])
        self._answer.raw_output_contents.append(_ANSWER.tobytes())

    async def ServerLive(  # noqa: N802 - the protocol's names, here and below
        self, _request: pb.ServerLiveRequest, _context: Context
    ) -> pb.ServerLiveResponse:
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(  # noqa: N802
        self, _request: pb.ServerReadyRequest, _context: Context
    ) -> pb.ServerReadyResponse:
        return pb.ServerReadyResponse(ready=True)

    async def ModelReady(  # noqa: N802
        self, _request: pb.ModelReadyRequest, _context: Context
    ) -> pb.ModelReadyResponse:
        return pb.ModelReadyResponse(ready=True)

    async def ServerMetadata(  # noqa: N802
        self, _request: pb.ServerMetadataRequest, _context: Context
    ) -> pb.ServerMetadataResponse:
        return pb.ServerMetadataResponse(name=_PLATFORM, version=grpc.__version__)

    async def ModelMetadata(  # noqa: N802
        self, _request: pb.ModelMetadataRequest, _context: Context
    ) -> pb.ModelMetadataResponse:
        metadata = pb.ModelMetadataResponse(name=NAME, versions=["1"], platform=_PLATFORM)
        metadata.inputs.add(name="x", datatype="FP32", shape=[-1, _ROW])
        metadata.outputs.add(name="y", datatype="FP32", shape=[-1, _ANSWER.size])
        return metadata

    async def ModelConfig(  # noqa: N802
        self, _request: pb.ModelConfigRequest, _context: Context
    ) -> pb.ModelConfigResponse:
        config = pb.ModelConfig(name=NAME, platform=_PLATFORM, max_batch_size=1)
        config.input.add(name="x", data_type="TYPE_FP32", dims=[_ROW])
        config.output.add(name="y", data_type="TYPE_FP32", dims=[_ANSWER.size])
        return pb.ModelConfigResponse(config=config)

    async def ModelInfer(  # noqa: N802
        self, _request: pb.ModelInferRequest, _context: Context
    ) -> pb.ModelInferResponse:
        return self._answer


async def serve(port: int) -> None:
    """Serve until SIGTERM."""
    echo = EchoService()
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(
            getattr(echo, name),
            request_deserializer=rpc.request.FromString,
            response_serializer=rpc.response.SerializeToString,
        )
        for name, rpc in RPC_METHODS.items()
        if hasattr(echo, name)
    }
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    await stopping.wait()
    await server.stop(0)


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
