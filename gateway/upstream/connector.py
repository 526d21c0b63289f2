"""The standing wish to be connected to one inference server: connect, serve, connect again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from gateway.upstream.credentials import UpstreamCredentials
from gateway.upstream.inference_stream import InferenceStream
from gateway.upstream.predictor import Predictor
from protos import open_inference_pb2 as pb
from protos.methods import method_path
from protos.parameters import CANCELLATION
from telemetry.logs import logger
from transport import GrpcConnection, GrpcLimits, Metadata, RpcError, StatusCode, connect

_ASK_SECONDS = 0.05
"""Between two questions whether the model is ready; a tiny model boots in 0.2 s."""
_ANSWER_SECONDS = 5.0
_DRAIN_LOOK_SECONDS = 0.02
_ANSWER_BYTES = 2**31 - 1
"""What a server may send is its own to limit: its answer was computed already."""

log = logger("gateway.upstream")


class ServerConnector:
    """Keeps `predictor` set while the server takes calls for the model version.

    Of its `addresses` each is tried in turn: a Unix socket is there only on the server's machine.
    """

    def __init__(
        self,
        model: str,
        version: int,
        *addresses: str,
        max_message_bytes: int,
        on_change: Callable[[], None],
        credentials: UpstreamCredentials | None = None,
    ) -> None:
        self.model = model
        self.version = version
        self.addresses = addresses
        self.predictor: Predictor | None = None
        self._on_change = on_change
        self._max_message_bytes = max_message_bytes
        self._credentials = credentials or UpstreamCredentials()
        self._metadata: Metadata = ()
        self._complaint = ""
        self._task = asyncio.create_task(self._keep(), name=f"link to {model} {version}")

    async def close(self, grace: float) -> None:
        """Give the connection up, `grace` seconds after the last call was taken at the latest."""
        deadline = asyncio.get_running_loop().time() + grace
        while (predictor := self.predictor) is not None and predictor.in_flight:
            if asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(_DRAIN_LOOK_SECONDS)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _keep(self) -> None:
        while True:
            for address in self.addresses:
                if await self._visit(address):
                    break
            await asyncio.sleep(_ASK_SECONDS)

    async def _visit(self, address: str) -> bool:
        """Be connected as long as that lasts; return whether there was anybody."""
        limits = GrpcLimits(max_message_bytes=_ANSWER_BYTES)
        try:
            connection = await connect(address, limits=limits, tls=self._credentials.tls)
        except RpcError as error:  # no server yet, or no longer: ask again
            self._complain(address, error)
            return False
        self._metadata = self._credentials.metadata(address)
        try:
            await self._serve(connection)
        except RpcError as error:
            self._complain(address, error)
        finally:
            connection.close()
        return True

    def _complain(self, address: str, error: RpcError) -> None:
        """Log why a server on another machine cannot be used, each reason once."""
        if address.startswith("unix:") or error.message == self._complaint:
            return
        self._complaint = error.message
        log.warning(
            "inference_server_unreached",
            model=self.model,
            version=self.version,
            address=address,
            reason=error.message,
        )

    async def _serve(self, connection: GrpcConnection) -> None:
        """Show the predictor from when the model is ready until its stream ends."""
        await self._until_ready(connection)
        predictor = InferenceStream(
            connection,
            max_message_bytes=self._max_message_bytes,
            cancels=CANCELLATION in await self._extensions(connection),
            metadata=self._metadata,
        )
        self._complaint = ""
        self._set(predictor)
        log.info("inference_server_connected", model=self.model, version=self.version)
        try:
            await predictor.ended.wait()
        finally:
            self._set(None)
        log.warning("inference_server_lost", model=self.model, version=self.version)

    async def _until_ready(self, connection: GrpcConnection) -> None:
        question = pb.ModelReadyRequest(name=self.model, version=str(self.version))
        while True:
            raw = await connection.unary(
                method_path("ModelReady"),
                question.SerializeToString(),
                timeout=_ANSWER_SECONDS,
                metadata=self._metadata,
            )
            if pb.ModelReadyResponse.FromString(raw).ready:
                return
            await asyncio.sleep(_ASK_SECONDS)

    async def _extensions(self, connection: GrpcConnection) -> Sequence[str]:
        """Return what the server says that it understands beyond the protocol."""
        try:
            raw = await connection.unary(
                method_path("ServerMetadata"),
                pb.ServerMetadataRequest().SerializeToString(),
                timeout=_ANSWER_SECONDS,
                metadata=self._metadata,
            )
        except RpcError as error:
            if error.code is not StatusCode.UNIMPLEMENTED:
                raise
            return ()
        return pb.ServerMetadataResponse.FromString(raw).extensions

    def _set(self, predictor: Predictor | None) -> None:
        self.predictor = predictor
        self._on_change()
