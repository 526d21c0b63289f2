"""The gRPC front door: the protocol's service for clients outside, with their keys in metadata."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from time import perf_counter
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from gateway.auth.identity import Identity
from gateway.auth.proxies import TrustedProxies
from gateway.errors import GatewayError
from gateway.ids import new_id
from gateway.metrics import GatewayMetrics
from gateway.oip.access import ModelAccess
from gateway.oip.callers import api_key_of, client_address
from gateway.oip.dataplane import EXTENSIONS, SERVER_NAME, SERVER_VERSION, DataPlane
from gateway.web.unexpected_errors import as_gateway_error
from protos import open_inference_pb2 as pb
from protos.errors import ErrorCode
from protos.message_templates import InferRequestTemplate, RawBytes, TemplateCache
from protos.methods import RPC_METHODS, method_path
from protos.status import CODE_KEY, PUSHBACK_KEY, stream_failure
from transport import Router, RpcError, ServerStream, StatusCode, StreamCall, UnaryCall

_MODE = "grpc"
_WINDOW = 256
"""Calls without an answer that one stream may have."""
_LARGE_BYTES = 2**16
"""A request of this size is worth knowing by its form."""
_MAX_TEMPLATE_BYTES = 4096
"""Bytes of a form that are no tensors'; forms are many, and anybody's."""
_MAX_MESSAGE_LENGTH = 1000
"""Messages travel in HTTP/2 trailers, which peers limit to about 8 KiB."""

Request = TypeVar("Request", bound=Message)


class InferenceService:
    """Answers the protocol's methods from the data plane."""

    def __init__(
        self,
        plane: DataPlane,
        access: ModelAccess,
        proxies: TrustedProxies,
        metrics: GatewayMetrics,
    ) -> None:
        self._plane = plane
        self._access = access
        self._proxies = proxies
        self._metrics = metrics
        self._bulky: TemplateCache[_LargeRequestTemplate] = TemplateCache()

    def add_to(self, router: Router) -> None:
        """Let `router` know the methods."""
        plane = self._plane
        live = pb.ServerLiveResponse(live=True).SerializeToString()
        router.unary(method_path("ServerLive"), lambda _raw, _call: live)
        router.unary(method_path("ServerReady"), self._server_ready)
        self._add(router, pb.ModelReadyRequest, self._model_ready)
        self._add(router, pb.ServerMetadataRequest, self._server_metadata)
        self._add(
            router, pb.ModelMetadataRequest, lambda asked: plane.metadata(asked.name, asked.version)
        )
        self._add(
            router, pb.ModelConfigRequest, lambda asked: plane.config(asked.name, asked.version)
        )
        self._add(
            router,
            pb.ModelStatisticsRequest,
            lambda asked: plane.statistics(asked.name, asked.version),
        )
        self._add(router, pb.RepositoryIndexRequest, self._index)
        router.unary(method_path("ModelInfer"), self._model_infer)
        router.stream(method_path("ModelStreamInfer"), lambda call: _InferStream(self, call))

    async def admit(self, key: str | None, call: ServerStream) -> Identity | None:
        """Return whose `key` it is, if it may call; raise as `ModelAccess.check`."""
        return await self._access.check(key, partial(client_address, call, self._proxies))

    async def infer_for(
        self, identity: Identity | None, raw: bytes, call: ServerStream
    ) -> pb.ModelInferResponse:
        """Answer one call within the limits of who makes it."""
        rate_limit = self._access.rate_limit(identity)
        if rate_limit is None:
            return await self.infer(raw, call)
        async with rate_limit.hold():
            return await self.infer(raw, call)

    async def infer(self, raw: bytes, call: ServerStream) -> pb.ModelInferResponse:
        """Answer one call and count it, under the status that REST would have answered."""
        began = perf_counter()
        name, status = "", ErrorCode.CANCELLED.v2_status
        try:
            known = self._bulky.find(raw) if len(raw) >= _LARGE_BYTES else None
            request = parse_message(pb.ModelInferRequest, raw) if known is None else known.head()
            name = request.model_name if self._plane.known(request.model_name) else ""
            if known is None:
                self._learn(request, raw)
                response = await self._plane.infer(request, call.remaining())
            else:
                call_id, raws = known.call_id(raw), known.raws(raw)
                reply = await self._plane.infer_apart(request, raws, call.remaining())
                response = reply.response()
                response.id = call_id
            status = 200
        except Exception as error:
            refusal = to_gateway_error(error)
            status = refusal.code.v2_status
            raise refusal from None
        finally:
            self._metrics.for_deployment(name, _MODE).answered(status, perf_counter() - began)
        return response

    @staticmethod
    def log_error(path: str, error: BaseException) -> None:
        """Log what a handler raised and should not have."""
        if isinstance(error, Exception):
            as_gateway_error(error, path.encode())

    def _learn(self, request: pb.ModelInferRequest, raw: bytes) -> None:
        """Have large requests such as this one read without their tensors being copied."""
        form = InferRequestTemplate.from_message(request) if len(raw) >= _LARGE_BYTES else None
        if form is None or form.length - sum(form.sizes) > _MAX_TEMPLATE_BYTES:
            return
        if form.render(form.slot_values(request)) == raw:
            self._bulky.add(form, _LargeRequestTemplate(form, request))

    def _add(
        self,
        router: Router,
        kind: type[Request],
        answer: Callable[[Request], Awaitable[Message]],
    ) -> None:
        """Add the method whose request is a `kind`."""
        (name,) = [name for name, rpc in RPC_METHODS.items() if rpc.request is kind]

        async def handle(raw: bytes, call: UnaryCall) -> bytes:
            try:
                await self.admit(api_key_of(call), call)
                return (await answer(parse_message(kind, raw))).SerializeToString()
            except Exception as error:
                raise to_rpc_error(to_gateway_error(error)) from None

        router.unary(method_path(name), handle)

    async def _model_infer(self, raw: bytes, call: UnaryCall) -> bytes:
        try:
            identity = await self.admit(api_key_of(call), call)
            return (await self.infer_for(identity, raw, call)).SerializeToString()
        except Exception as error:
            raise to_rpc_error(to_gateway_error(error)) from None

    def _server_ready(self, _raw: bytes, _call: UnaryCall) -> bytes:
        """Say whether the gateway takes calls; like all probes, to everybody."""
        return pb.ServerReadyResponse(ready=self._plane.server_ready()).SerializeToString()

    async def _model_ready(self, asked: pb.ModelReadyRequest) -> pb.ModelReadyResponse:
        return pb.ModelReadyResponse(ready=self._plane.model_ready(asked.name, asked.version))

    async def _server_metadata(self, _: pb.ServerMetadataRequest) -> pb.ServerMetadataResponse:
        return pb.ServerMetadataResponse(
            name=SERVER_NAME, version=SERVER_VERSION, extensions=EXTENSIONS
        )

    async def _index(self, asked: pb.RepositoryIndexRequest) -> pb.RepositoryIndexResponse:
        return self._plane.index(asked.repository_name, only_ready=asked.ready)


class _LargeRequestTemplate:
    """A form of requests, and what all of them have."""

    def __init__(self, form: InferRequestTemplate, request: pb.ModelInferRequest) -> None:
        self._form = form
        self._head = pb.ModelInferRequest()
        self._head.CopyFrom(request)
        self._head.ClearField("id")
        self._head.ClearField("raw_input_contents")

    def head(self) -> pb.ModelInferRequest:
        """Return a request without id and contents."""
        head = pb.ModelInferRequest()
        head.CopyFrom(self._head)
        return head

    def call_id(self, raw: bytes) -> str:
        """Return the id of one of them, or raise INVALID_REQUEST."""
        try:
            return raw[self._form.id_start : self._form.id_end].decode()
        except UnicodeDecodeError:
            message = "the request's id is not UTF-8"
            raise GatewayError(ErrorCode.INVALID_REQUEST, message) from None

    def raws(self, raw: bytes) -> list[RawBytes]:
        """Return the elements of its inputs, where they lie."""
        view = memoryview(raw)
        return [view[start:end] for start, end in self._form.inputs]


class _InferStream:
    """One ModelStreamInfer: its calls are answered as each is done, until the client has no more.

    While _WINDOW of them have no answer, the client is held back.
    """

    def __init__(self, door: InferenceService, call: StreamCall) -> None:
        self._door = door
        self._call = call
        self._key = api_key_of(call)
        self._tasks: set[asyncio.Task[None]] = set()
        self._held = False
        self._ending = False

    def messages(self, messages: list[bytes]) -> None:
        """Begin the calls that have come."""
        for raw in messages:
            task = asyncio.create_task(self._answer(raw))
            self._tasks.add(task)
            task.add_done_callback(self._done)
        if len(self._tasks) >= _WINDOW and not self._held:
            self._held = True
            self._call.pause()

    def half_closed(self) -> None:
        """End when everything is answered."""
        self._ending = True
        self._end_if_done()

    def cancelled(self) -> None:
        """Give the calls up: the client has gone."""
        for task in self._tasks:
            task.cancel()

    async def _answer(self, raw: bytes) -> None:
        try:
            # For each call: a stream may go on for days, and its key may not.
            identity = await self._door.admit(self._key, self._call)
        except Exception as error:
            failure = to_rpc_error(to_gateway_error(error))
            self._call.finish(failure.code, failure.message, failure.trailers)
            return
        try:
            response = await self._door.infer_for(identity, raw, self._call)
            message = pb.ModelStreamInferResponse(infer_response=response)
        except GatewayError as refusal:
            message = stream_failure(
                _id_in(raw),
                refusal.code,
                refusal.message[:_MAX_MESSAGE_LENGTH],
                refusal.retry_after,
            )
        self._call.send(message.SerializeToString())

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._held and len(self._tasks) < _WINDOW:
            self._held = False
            self._call.resume()
        if self._ending:
            self._end_if_done()

    def _end_if_done(self) -> None:
        if not self._tasks and self._call.alive:
            self._call.finish()


def parse_message(kind: type[Request], raw: bytes) -> Request:
    """Return `raw` as a message, or raise INVALID_REQUEST."""
    try:
        return kind.FromString(raw)
    except DecodeError:
        message = f"the {len(raw)} bytes of the request are no message"
        raise GatewayError(ErrorCode.INVALID_REQUEST, message) from None


def to_gateway_error(error: Exception) -> GatewayError:
    """Return what a caller is told of `error`."""
    return as_gateway_error(error, b"req_" + new_id().encode())


def to_rpc_error(refusal: GatewayError) -> RpcError:
    """Return `refusal` as its status, with code and waiting time in the trailing metadata."""
    trailers = [(CODE_KEY, refusal.code.value)]
    if refusal.retry_after is not None:
        trailers.append((PUSHBACK_KEY, str(round(refusal.retry_after * 1e3))))
    status = StatusCode[refusal.code.grpc_status]
    return RpcError(status, refusal.message[:_MAX_MESSAGE_LENGTH], tuple(trailers))


def _id_in(raw: bytes) -> str:
    try:
        return pb.ModelInferRequest.FromString(raw).id
    except DecodeError:
        return ""
