"""Connects to one inference server, and connects again whenever the connection ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

from google.protobuf.message import DecodeError

from gateway.upstream.credentials import UpstreamCredentials
from gateway.upstream.inference_stream import InferenceStreamClient
from protos import open_inference_pb2 as pb
from protos.methods import method_path
from protos.parameters import CANCELLATION, OWNERS
from telemetry.logs import logger
from transport import GrpcConnection, GrpcLimits, Metadata, RpcError, StatusCode, connect

UNRESPONSIVE_SECONDS = 5.0
"""Silence after which a server of ours is not ready, unless set otherwise. It may take half as long
again until it is noticed."""
_RETRY_SECONDS = 0.05
"""Between two attempts to connect, or to find the model ready; a tiny model boots in 0.2 s."""
_UNARY_TIMEOUT_SECONDS = 5.0
_DRAIN_POLL_SECONDS = 0.02
_MAX_REPLY_BYTES = 2**31 - 1
"""The server limits its replies itself: a reply has been computed already."""

log = logger("gateway.upstream")


class ServerConnector:
    """Keeps `stream` set while the server accepts calls for the model version.

    It tries each of `addresses` in turn: a Unix socket exists only on the server's machine.
    """

    def __init__(
        self,
        model: str,
        version: int,
        *addresses: str,
        max_message_bytes: int,
        on_change: Callable[[], None],
        credentials: UpstreamCredentials | None = None,
        unresponsive_seconds: float = UNRESPONSIVE_SECONDS,
        on_lost: Callable[[Iterable[tuple[bytes, str | None]]], None] | None = None,
    ) -> None:
        self._on_lost = on_lost
        self.model = model
        self.version = version
        self.addresses = addresses
        self.stream: InferenceStreamClient | None = None
        self._on_change = on_change
        self._max_message_bytes = max_message_bytes
        self._credentials = credentials or UpstreamCredentials()
        self._unresponsive_seconds = unresponsive_seconds
        self._metadata: Metadata = ()
        self._last_failure = ""
        self._task = asyncio.create_task(self._run(), name=f"connector {model} {version}")

    async def close(self, grace: float) -> None:
        """Close the connection when its calls are answered, or after `grace` seconds."""
        deadline = asyncio.get_running_loop().time() + grace
        try:
            while (stream := self.stream) is not None and stream.in_flight:
                if asyncio.get_running_loop().time() > deadline:
                    break
                await asyncio.sleep(_DRAIN_POLL_SECONDS)
        finally:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            for address in self.addresses:
                if await self._connect(address):
                    break
            await asyncio.sleep(_RETRY_SECONDS)

    async def _connect(self, address: str) -> bool:
        """Connect, and stay connected while that lasts; return whether a server was there."""
        limits = GrpcLimits(max_message_bytes=_MAX_REPLY_BYTES)
        try:
            connection = await connect(address, limits=limits, tls=self._credentials.tls)
        except RpcError as error:  # no server yet, or no longer
            self._log_failure(address, error.message)
            return False
        except ValueError as error:  # a name that cannot be looked up
            self._log_failure(address, str(error))
            return False
        self._metadata = self._credentials.metadata(address)
        try:
            await self._serve(connection, is_local=address.startswith("unix:"))
        except RpcError as error:
            self._log_failure(address, error.message)
        except DecodeError as error:  # what listens there may be anything
            self._log_failure(address, f"its answer is no message of the protocol: {error}")
        finally:
            connection.close()
            await connection.wait_closed()
        return True

    def _log_failure(self, address: str, reason: str) -> None:
        """Log why a server on another machine cannot be used, but each reason only once."""
        if address.startswith("unix:") or reason == self._last_failure:
            return
        self._last_failure = reason
        log.warning(
            "inference_server_unreachable",
            model=self.model,
            version=self.version,
            address=address,
            reason=reason,
        )

    async def _serve(self, connection: GrpcConnection, *, is_local: bool) -> None:
        """Set `stream` from when the model is ready until the stream ends."""
        await self._wait_until_ready(connection)
        extensions = await self._extensions(connection)
        ours = CANCELLATION in extensions
        if ours:
            connection.start_keepalive(self._unresponsive_seconds / 2)
        stream = InferenceStreamClient(
            connection,
            max_message_bytes=self._max_message_bytes,
            cancels=ours,
            metadata=self._metadata,
            is_local=is_local,
            by_owner=OWNERS in extensions,
            on_lost=self._on_lost,
        )
        self._last_failure = ""
        self._set(stream)
        log.info("inference_server_connected", model=self.model, version=self.version)
        try:
            await stream.ended.wait()
        finally:
            self._set(None)
        log.warning("inference_server_connection_lost", model=self.model, version=self.version)

    async def _wait_until_ready(self, connection: GrpcConnection) -> None:
        request = pb.ModelReadyRequest(name=self.model, version=str(self.version))
        while True:
            raw = await connection.unary(
                method_path("ModelReady"),
                request.SerializeToString(),
                timeout=_UNARY_TIMEOUT_SECONDS,
                metadata=self._metadata,
            )
            if pb.ModelReadyResponse.FromString(raw).ready:
                return
            await asyncio.sleep(_RETRY_SECONDS)

    async def _extensions(self, connection: GrpcConnection) -> Sequence[str]:
        """Return the extensions that the server announces."""
        try:
            raw = await connection.unary(
                method_path("ServerMetadata"),
                pb.ServerMetadataRequest().SerializeToString(),
                timeout=_UNARY_TIMEOUT_SECONDS,
                metadata=self._metadata,
            )
        except RpcError as error:
            if error.code is not StatusCode.UNIMPLEMENTED:
                raise
            return ()
        return pb.ServerMetadataResponse.FromString(raw).extensions

    def _set(self, stream: InferenceStreamClient | None) -> None:
        self.stream = stream
        self._on_change()
