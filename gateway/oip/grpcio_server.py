"""The public gRPC port on stock grpcio (`--grpc-server grpcio`): the same methods on `grpc.aio`.

For installations that prefer grpcio's own HTTP/2 and TLS. The native server answers more calls per
second and enforces the limits of connections; grpcio has none of them, see docs/configuration.md.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any, cast
from urllib.parse import unquote

import grpc
import grpc.aio

from transport import Router, RpcError, StatusCode, StreamCall, UnaryCall
from transport.certificates import KeyPair, TlsError
from transport.server_streams import StreamHandlerFactory, UnaryHandler
from transport.status import Metadata
from transport.write_queue import Buffer

_KEEPALIVE_MILLISECONDS = 60_000
_HANDLER_ERROR = "the server failed to answer; see its log"
_STATUS = {code: grpc.StatusCode[code.name] for code in StatusCode}

OnError = Callable[[str, BaseException], None]
Context = grpc.aio.ServicerContext[bytes, bytes]


class GrpcioServer:
    """Serves a router's methods with `grpc.aio`."""

    def __init__(self, router: Router, *, max_message_bytes: int, on_error: OnError) -> None:
        self._server = grpc.aio.server(
            handlers=[_RouterHandler(router, on_error)],
            options=[
                ("grpc.so_reuseport", 1),  # several gateway processes share the port
                ("grpc.max_receive_message_length", max_message_bytes),
                ("grpc.max_send_message_length", -1),
                ("grpc.keepalive_time_ms", _KEEPALIVE_MILLISECONDS),
            ],
        )

    async def listen(self, address: str, pair: KeyPair | None) -> None:
        """Listen at `host:port`, with TLS if a key pair is given.

        Raises:
            OSError: the address cannot be bound.
            TlsError: the key pair cannot be used.
        """
        try:
            if pair is None:
                self._server.add_insecure_port(address)
            else:
                self._server.add_secure_port(address, _credentials(pair))
        except RuntimeError as error:
            raise OSError(None, str(error)) from None
        await self._server.start()

    async def drain(self, grace: float) -> None:
        """Accept no new calls; end those that are not over after `grace` seconds."""
        await self._server.stop(grace)


class _RouterHandler(grpc.GenericRpcHandler):
    """Finds the handler of a method; messages stay bytes."""

    def __init__(self, router: Router, on_error: OnError) -> None:
        self._router = router
        self._on_error = on_error

    # Any: grpc's own types are generic in the messages
    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Return how grpcio is to call the method; None: there is no such method."""
        path = handler_call_details.method
        method = self._router.find(path)
        if method is None:
            return None
        if method.unary is not None:
            return grpc.unary_unary_rpc_method_handler(self._unary(path, method.unary))
        assert method.stream is not None
        return grpc.stream_stream_rpc_method_handler(self._stream(path, method.stream))

    def _unary(self, path: str, handler: UnaryHandler) -> Any:
        async def answer(request: bytes, context: Context) -> bytes:
            call = _Call(path, context)
            try:
                result = handler(request, cast("UnaryCall", call))
                response = await result if isinstance(result, Awaitable) else result
            except Exception as error:
                await _abort(context, self._as_rpc_error(path, error))
                raise
            context.set_trailing_metadata(call.trailers)
            return response

        return answer

    def _stream(self, path: str, factory: StreamHandlerFactory) -> Any:
        async def answer(requests: AsyncIterator[bytes], context: Context) -> None:
            call = _StreamCall(path, context)
            try:
                await call.run(factory, requests)
            except Exception as error:  # noqa: BLE001 - as above
                await _abort(context, self._as_rpc_error(path, error))

        return answer

    def _as_rpc_error(self, path: str, error: Exception) -> RpcError:
        if isinstance(error, RpcError):
            return error
        self._on_error(path, error)
        return RpcError(StatusCode.INTERNAL, _HANDLER_ERROR)


class _Call:
    """Stands in for `transport.UnaryCall`: the attributes that handlers use."""

    def __init__(self, path: str, context: Context) -> None:
        self.path = path
        self.trailers: Metadata = ()
        self._context = context

    @property
    def metadata(self) -> Metadata:
        """The client's initial metadata."""
        return tuple(self._context.invocation_metadata() or ())

    @property
    def peer(self) -> str:
        """The client: `ipv4:host:port`, or `ipv6:[host]:port`, which grpcio percent-encodes."""
        return unquote(self._context.peer())

    @property
    def deadline(self) -> float | None:
        """When the client stops waiting, on the clock of the event loop."""
        remaining = self.remaining()
        return None if remaining is None else asyncio.get_running_loop().time() + remaining

    @property
    def alive(self) -> bool:
        """Whether the client still waits for an answer."""
        return not self._context.done()

    def remaining(self) -> float | None:
        """Return the seconds until the deadline; None: there is none."""
        return self._context.time_remaining()


class _StreamCall(_Call):
    """Stands in for `transport.StreamCall`."""

    def __init__(self, path: str, context: Context) -> None:
        super().__init__(path, context)
        self.queued = 0
        self._outgoing: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._written = asyncio.Event()
        self._written.set()
        self._reading = asyncio.Event()
        self._reading.set()
        self._end: RpcError | None = None
        self._finished = False

    @property
    def alive(self) -> bool:
        """Whether the client still waits for answers."""
        return not self._finished and super().alive

    def send(self, message: Buffer, /) -> int:
        """Queue a message; return how many bytes are queued."""
        if self.alive:
            self._outgoing.put_nowait(bytes(message))
            self.queued += len(message)
            self._written.clear()
        return self.queued

    def finish(
        self, code: StatusCode = StatusCode.OK, message: str = "", trailers: Metadata = ()
    ) -> None:
        """End the call, behind everything that was sent."""
        if not self._finished:
            self._finished = True
            self.trailers = trailers
            self._end = None if code is StatusCode.OK else RpcError(code, message, trailers)
            self._outgoing.put_nowait(None)

    def busy_poll(self, seconds: float) -> None:
        """Do nothing: grpcio reads its sockets on its own."""

    def pause(self) -> None:
        """Stop delivering messages."""
        self._reading.clear()

    def resume(self) -> None:
        """Deliver messages again."""
        self._reading.set()

    async def flushed(self) -> None:
        """Wait until everything sent was passed to grpcio."""
        await self._written.wait()

    async def run(self, factory: StreamHandlerFactory, requests: AsyncIterator[bytes]) -> None:
        """Serve the call to its end; raise what ends it other than well."""
        handler = factory(cast("StreamCall", self))

        async def read() -> None:
            try:
                async for message in requests:
                    await self._reading.wait()
                    handler.messages([message])
                handler.half_closed()
            except Exception:
                self._finished = True
                self._outgoing.put_nowait(None)
                raise

        reader = asyncio.create_task(read(), name="grpc stream")
        try:
            while (message := await self._outgoing.get()) is not None:
                await self._context.write(message)
                self.queued -= len(message)
                if not self.queued:
                    self._written.set()
        except asyncio.CancelledError:  # the client left, or its deadline passed
            self._finished = True
            handler.cancelled()
            raise
        finally:
            if not reader.done():
                reader.cancel()
            (failure,) = await asyncio.gather(reader, return_exceptions=True)
        if isinstance(failure, Exception):
            raise failure
        if self._end is not None:
            raise self._end
        self._context.set_trailing_metadata(self.trailers)


async def _abort(context: Context, error: RpcError) -> None:
    await context.abort(_STATUS[error.code], error.message, error.trailers)


def _credentials(pair: KeyPair) -> grpc.ServerCredentials:
    """Return credentials that follow the files: grpcio asks at each connection."""
    current = _certificates(pair)

    def fetch() -> grpc.ServerCertificateConfiguration:
        nonlocal current
        with suppress(TlsError):  # such as half of a new pair: `Certificate` logs it
            current = _certificates(pair)
        return current

    return grpc.dynamic_ssl_server_credentials(current, fetch, require_client_authentication=False)


def _certificates(pair: KeyPair) -> grpc.ServerCertificateConfiguration:
    pair.load_into(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))  # raises TlsError if unusable
    key, chain = pair.key.read_bytes(), pair.certificate.read_bytes()
    return grpc.ssl_server_certificate_configuration([(key, chain)])
