"""The gRPC front door: the protocol's service for clients outside, with their keys in metadata."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from time import perf_counter

import grpc.aio

from gateway.auth.headers import presented_key
from gateway.ids import new_id
from gateway.metrics import GatewayMetrics
from gateway.oip.access import ModelAccess
from gateway.oip.dataplane import EXTENSIONS, SERVER_NAME, SERVER_VERSION, DataPlane
from gateway.oip.interception import UnreadableError
from gateway.web.faults import as_gateway_error
from gateway.web.problems import V2_STATUS
from protos import open_inference_pb2 as pb
from protos.errors import ErrorCode
from protos.service import Context
from protos.status import stream_failure

_MODE = "grpc"
_OPEN = frozenset({"ServerLive", "ServerReady"})
"""Probes need no key."""


class FrontDoor:
    """Implements the protocol's RPCs on the data plane."""

    def __init__(self, plane: DataPlane, metrics: GatewayMetrics, *, window: int) -> None:
        """Let one stream have up to `window` calls without an answer."""
        self._plane = plane
        self._metrics = metrics
        self._window = window

    async def ServerLive(  # noqa: N802 - the protocol's names, here and below
        self, _request: pb.ServerLiveRequest, _context: Context
    ) -> pb.ServerLiveResponse:
        """Say that the gateway lives."""
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(  # noqa: N802
        self, _request: pb.ServerReadyRequest, _context: Context
    ) -> pb.ServerReadyResponse:
        """Say whether the gateway takes calls."""
        return pb.ServerReadyResponse(ready=self._plane.server_ready())

    async def ModelReady(  # noqa: N802
        self, request: pb.ModelReadyRequest, _context: Context
    ) -> pb.ModelReadyResponse:
        """Say whether a model version takes calls; an unknown one does not."""
        return pb.ModelReadyResponse(ready=self._plane.model_ready(request.name, request.version))

    async def ServerMetadata(  # noqa: N802
        self, _request: pb.ServerMetadataRequest, _context: Context
    ) -> pb.ServerMetadataResponse:
        """Say who answers."""
        return pb.ServerMetadataResponse(
            name=SERVER_NAME, version=SERVER_VERSION, extensions=EXTENSIONS
        )

    async def ModelMetadata(  # noqa: N802
        self, request: pb.ModelMetadataRequest, _context: Context
    ) -> pb.ModelMetadataResponse:
        """Say what a model takes and gives."""
        return await self._plane.metadata(request.name, request.version)

    async def ModelInfer(  # noqa: N802
        self, request: pb.ModelInferRequest, context: Context
    ) -> pb.ModelInferResponse:
        """Answer one call."""
        return await self._infer(request, context)

    async def ModelStreamInfer(  # noqa: N802
        self, _requests: object, context: Context
    ) -> None:
        """Answer the calls of a stream as each is done, until the client has no more."""
        places = asyncio.Semaphore(self._window)
        writing = asyncio.Lock()

        async def answer(request: pb.ModelInferRequest) -> None:
            call_id = request.id
            try:
                response = await self._infer(request, context)
                message = pb.ModelStreamInferResponse(infer_response=response)
            except Exception as error:
                message = stream_failure(call_id, *told(error))
            finally:
                places.release()
            async with writing:  # grpc takes one write at a time
                await context.write(message)

        async with asyncio.TaskGroup() as calls:
            while (request := await context.read()) is not grpc.aio.EOF:
                if isinstance(request, UnreadableError):
                    raise request
                await places.acquire()
                calls.create_task(answer(request))

    async def _infer(
        self, request: pb.ModelInferRequest, context: Context
    ) -> pb.ModelInferResponse:
        """Answer one call and count it, under the status that REST would have answered."""
        began = perf_counter()
        name = request.model_name if self._plane.known(request.model_name) else ""
        status = V2_STATUS[ErrorCode.CANCELLED]
        try:
            response = await self._plane.infer(request, context.time_remaining())
            status = 200
        except Exception as error:
            refusal = as_gateway_error(error, _request_id())
            status = V2_STATUS[refusal.code]
            raise refusal from None
        finally:
            self._metrics.meters(name, _MODE).answered(status, perf_counter() - began)
        return response


class Doorkeeper:
    """Checks the key of every call."""

    def __init__(self, access: ModelAccess) -> None:
        self._access = access

    async def admit(self, method: str, context: Context) -> None:
        """Return if the call may be answered; raise as `ModelAccess.check`."""
        if method not in _OPEN:
            await self._access.check(presented_key(dict(_headers(context))))


def _headers(context: Context) -> Iterator[tuple[bytes, bytes]]:
    for name, value in context.invocation_metadata() or ():
        yield name.encode(), value if isinstance(value, bytes) else value.encode()


def told(error: Exception) -> tuple[ErrorCode, str]:
    """Return the code and the message that a caller is told of `error`."""
    refusal = as_gateway_error(error, _request_id())
    return refusal.code, refusal.message


def _request_id() -> bytes:
    return b"req_" + new_id().encode()
