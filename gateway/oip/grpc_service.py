"""The protocol's gRPC service for clients, who send their API keys as metadata."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from time import perf_counter
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from gateway.auth.identity import Identity
from gateway.auth.proxies import TrustedProxies
from gateway.auth.request_credentials import presented_key
from gateway.errors import GatewayError
from gateway.ids import new_id
from gateway.metrics import GatewayMetrics
from gateway.oip.access import ModelAccess
from gateway.oip.call_trace import CallTrace, CallTraces
from gateway.oip.data_plane import EXTENSIONS, SERVER_NAME, SERVER_VERSION, DataPlane
from gateway.web.unexpected_errors import as_gateway_error
from protos import open_inference_pb2 as pb
from protos.errors import ErrorCode
from protos.message_templates import InferRequestTemplate, RawBytes, TemplateCache
from protos.methods import RPC_METHODS, method_path
from protos.status import CODE_KEY, PUSHBACK_KEY, stream_failure
from transport import Router, RpcError, ServerStream, StatusCode, StreamCall, UnaryCall

_MODE = "grpc"
_WINDOW = 256
"""Calls in flight per stream."""
_LARGE_BYTES = 2**16
"""From this size on, requests are read by a template, without copying their tensors."""
_MAX_TEMPLATE_BYTES = 4096
"""Bytes of a template besides the tensors; clients can cause many templates."""
_MAX_MESSAGE_LENGTH = 1000
"""Messages are sent in HTTP/2 trailers, which peers limit to about 8 KiB."""

Request = TypeVar("Request", bound=Message)


class InferenceService:
    """Serves the protocol's methods from the data plane."""

    def __init__(
        self,
        plane: DataPlane,
        access: ModelAccess,
        proxies: TrustedProxies,
        metrics: GatewayMetrics,
        traces: CallTraces,
    ) -> None:
        self._plane = plane
        self._access = access
        self._proxies = proxies
        self._metrics = metrics
        self._traces = traces
        self._large_templates: TemplateCache[_LargeRequestTemplate] = TemplateCache()

    def add_to(self, router: Router) -> None:
        """Register the methods."""
        plane = self._plane
        live = pb.ServerLiveResponse(live=True).SerializeToString()
        router.unary(method_path("ServerLive"), lambda _raw, _call: live)
        router.unary(method_path("ServerReady"), self._server_ready)
        self._add(router, pb.ModelReadyRequest, self._model_ready)
        self._add(router, pb.ServerMetadataRequest, self._server_metadata)
        self._add(
            router,
            pb.ModelMetadataRequest,
            lambda caller, request: plane.metadata(caller, request.name, request.version),
        )
        self._add(
            router,
            pb.ModelConfigRequest,
            lambda caller, request: plane.config(caller, request.name, request.version),
        )
        self._add(
            router,
            pb.ModelStatisticsRequest,
            lambda caller, request: plane.statistics(caller, request.name, request.version),
        )
        self._add(router, pb.RepositoryIndexRequest, self._index)
        router.unary(method_path("ModelInfer"), self._model_infer)
        router.stream(method_path("ModelStreamInfer"), lambda call: _InferStream(self, call))

    async def authenticate(self, key: str | None, call: ServerStream) -> Identity | None:
        """Return the identity of `key`; raise as `ModelAccess.check`."""
        return await self._access.check(key, partial(client_address, call, self._proxies))

    async def infer_for(
        self, identity: Identity | None, raw: bytes, call: ServerStream
    ) -> pb.ModelInferResponse:
        """Serve one call within the caller's limits."""
        rate_limit = self._access.rate_limit(identity)
        headers = {} if self._traces.tracer is None else dict(_headers(call))
        with self._traces.grpc(identity, headers, call.path.removeprefix("/")) as trace:
            if rate_limit is None:
                return await self.infer(identity, raw, call, trace)
            async with rate_limit.hold():
                return await self.infer(identity, raw, call, trace)

    async def infer(
        self, caller: Identity | None, raw: bytes, call: ServerStream, trace: CallTrace | None
    ) -> pb.ModelInferResponse:
        """Serve one call and count it, under the equivalent HTTP status."""
        began = perf_counter()
        name = ""
        failure: ErrorCode | None = ErrorCode.CANCELLED
        try:
            known = self._large_templates.find(raw) if len(raw) >= _LARGE_BYTES else None
            request = parse_message(pb.ModelInferRequest, raw) if known is None else known.head()
            name = request.model_name if self._plane.has_model(request.model_name) else ""
            if known is None:
                self._add_template(request, raw)
                response = await self._plane.infer(caller, request, call.remaining(), trace)
            else:
                call_id, raws = known.call_id(raw), known.raws(raw)
                remaining = call.remaining()
                reply = await self._plane.infer_raw(caller, request, raws, remaining, trace)
                response = reply.response()
                response.id = call_id
            failure = None
        except Exception as error:
            gateway_error = to_gateway_error(error)
            failure = gateway_error.code
            raise gateway_error from None
        finally:
            status = 200 if failure is None else failure.v2_status
            counted = self._metrics.for_deployment(name, _MODE)
            counted.answered(status, perf_counter() - began, failure)
        return response

    @staticmethod
    def log_error(path: str, error: BaseException) -> None:
        """Log an unexpected exception of a handler."""
        if isinstance(error, Exception):
            as_gateway_error(error, path.encode())

    def _add_template(self, request: pb.ModelInferRequest, raw: bytes) -> None:
        """Keep the template of a large request, to read the next one without copying tensors."""
        form = InferRequestTemplate.from_message(request) if len(raw) >= _LARGE_BYTES else None
        if form is None or form.length - sum(form.sizes) > _MAX_TEMPLATE_BYTES:
            return
        if form.render(form.slot_values(request)) == raw:
            self._large_templates.add(form, _LargeRequestTemplate(form, request))

    def _add(
        self,
        router: Router,
        kind: type[Request],
        answer: Callable[[Identity | None, Request], Awaitable[Message]],
    ) -> None:
        """Register the method whose request type is `kind`."""
        (name,) = [name for name, rpc in RPC_METHODS.items() if rpc.request is kind]

        async def handle(raw: bytes, call: UnaryCall) -> bytes:
            try:
                caller = await self.authenticate(api_key_of(call), call)
                return (await answer(caller, parse_message(kind, raw))).SerializeToString()
            except Exception as error:
                raise to_rpc_error(to_gateway_error(error)) from None

        router.unary(method_path(name), handle)

    async def _model_infer(self, raw: bytes, call: UnaryCall) -> bytes:
        try:
            identity = await self.authenticate(api_key_of(call), call)
            return (await self.infer_for(identity, raw, call)).SerializeToString()
        except Exception as error:
            raise to_rpc_error(to_gateway_error(error)) from None

    def _server_ready(self, _raw: bytes, _call: UnaryCall) -> bytes:
        """Return whether the gateway is ready; like all probes, without a key."""
        return pb.ServerReadyResponse(ready=self._plane.server_ready()).SerializeToString()

    async def _model_ready(
        self, caller: Identity | None, request: pb.ModelReadyRequest
    ) -> pb.ModelReadyResponse:
        ready = self._plane.model_ready(caller, request.name, request.version)
        return pb.ModelReadyResponse(ready=ready)

    async def _server_metadata(
        self, _caller: Identity | None, _: pb.ServerMetadataRequest
    ) -> pb.ServerMetadataResponse:
        return pb.ServerMetadataResponse(
            name=SERVER_NAME, version=SERVER_VERSION, extensions=EXTENSIONS
        )

    async def _index(
        self, caller: Identity | None, request: pb.RepositoryIndexRequest
    ) -> pb.RepositoryIndexResponse:
        return self._plane.index(caller, request.repository_name, only_ready=request.ready)


class _LargeRequestTemplate:
    """The template of large requests, with the fields that they have in common."""

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
        """Return the id of a request, or raise INVALID_REQUEST."""
        try:
            return raw[self._form.id_start : self._form.id_end].decode()
        except UnicodeDecodeError:
            message = "the request's id is not UTF-8"
            raise GatewayError(ErrorCode.INVALID_REQUEST, message) from None

    def raws(self, raw: bytes) -> list[RawBytes]:
        """Return the bytes of its inputs, as views of the request."""
        view = memoryview(raw)
        return [view[start:end] for start, end in self._form.inputs]


class _InferStream:
    """One ModelStreamInfer. Calls are answered in the order in which they finish.

    While `_WINDOW` calls are in flight, no more messages are read.
    """

    def __init__(self, service: InferenceService, call: StreamCall) -> None:
        self._service = service
        self._call = call
        self._key = api_key_of(call)
        self._tasks: set[asyncio.Task[None]] = set()
        self._paused = False
        self._ending = False

    def messages(self, messages: list[bytes]) -> None:
        """Start the received calls."""
        for raw in messages:
            task = asyncio.create_task(self._answer(raw))
            self._tasks.add(task)
            task.add_done_callback(self._done)
        if len(self._tasks) >= _WINDOW and not self._paused:
            self._paused = True
            self._call.pause()

    def half_closed(self) -> None:
        """End the stream when every call is answered."""
        self._ending = True
        self._end_if_done()

    def cancelled(self) -> None:
        """Cancel the calls: the client has disconnected."""
        for task in self._tasks:
            task.cancel()

    async def _answer(self, raw: bytes) -> None:
        try:
            # For each call: a stream may last for days, longer than its key.
            identity = await self._service.authenticate(self._key, self._call)
        except Exception as error:
            failure = to_rpc_error(to_gateway_error(error))
            self._call.finish(failure.code, failure.message, failure.trailers)
            return
        try:
            response = await self._service.infer_for(identity, raw, self._call)
            message = pb.ModelStreamInferResponse(infer_response=response)
        except GatewayError as gateway_error:
            message = stream_failure(
                _id_in(raw),
                gateway_error.code,
                gateway_error.message[:_MAX_MESSAGE_LENGTH],
                gateway_error.retry_after,
            )
        self._call.send(message.SerializeToString())

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._paused and len(self._tasks) < _WINDOW:
            self._paused = False
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
        message = f"the request of {len(raw)} bytes is not a valid message"
        raise GatewayError(ErrorCode.INVALID_REQUEST, message) from None


def to_gateway_error(error: Exception) -> GatewayError:
    """Return the error for the caller."""
    return as_gateway_error(error, b"req_" + new_id().encode())


def to_rpc_error(gateway_error: GatewayError) -> RpcError:
    """Return the gRPC status, with code and retry time in the trailing metadata."""
    trailers = [(CODE_KEY, gateway_error.code.value)]
    if gateway_error.retry_after is not None:
        trailers.append((PUSHBACK_KEY, str(round(gateway_error.retry_after * 1e3))))
    status = StatusCode[gateway_error.code.grpc_status]
    return RpcError(status, gateway_error.message[:_MAX_MESSAGE_LENGTH], tuple(trailers))


def _id_in(raw: bytes) -> str:
    try:
        return pb.ModelInferRequest.FromString(raw).id
    except DecodeError:
        return ""


def client_address(call: ServerStream, proxies: TrustedProxies) -> str:
    """Return the client's address; proxies send it as metadata, as over REST."""
    return proxies.client(peer_host(call.peer), _headers(call))


def peer_host(peer: str) -> str:
    """Return the address in `ipv4:host:port` or `ipv6:[host]:port`."""
    return peer.partition(":")[2].rpartition(":")[0].strip("[]")


def api_key_of(call: ServerStream) -> str | None:
    """Return the key in the call's metadata."""
    return presented_key(dict(_headers(call)))


def _headers(call: ServerStream) -> list[tuple[bytes, bytes]]:
    return [
        (name.encode(), value if isinstance(value, bytes) else value.encode())
        for name, value in call.metadata
    ]
