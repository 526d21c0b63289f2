"""The standing wish to be connected to one inference server: connect, serve, connect again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

from gateway.upstream.predictor import Predictor
from gateway.upstream.stream import StreamPredictor
from protos import open_inference_pb2 as pb
from protos.methods import path_of
from protos.parameters import CANCELLATION
from telemetry.logs import logger
from transport import Connection, Limits, RpcError, StatusCode, connect

_ASK_SECONDS = 0.05
"""Between two questions whether the model is ready; a tiny model boots in 0.2 s."""
_ANSWER_SECONDS = 5.0
_DRAIN_LOOK_SECONDS = 0.02
_ANSWER_BYTES = 2**31 - 1
"""What a server may send is its own to limit: its answer was computed already."""

log = logger("gateway.upstream")


class Link:
    """Keeps `predictor` set while the server at `address` takes calls for the model version."""

    def __init__(
        self,
        model: str,
        version: int,
        address: str,
        *,
        max_message_bytes: int,
        on_change: Callable[[], None],
    ) -> None:
        self.model = model
        self.version = version
        self.address = address
        self.predictor: Predictor | None = None
        self._on_change = on_change
        self._max_message_bytes = max_message_bytes
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
            with suppress(RpcError):  # no server yet, or no longer: ask again
                connection = await connect(
                    self.address, limits=Limits(max_message_bytes=_ANSWER_BYTES)
                )
                try:
                    await self._serve(connection)
                finally:
                    connection.close()
            await asyncio.sleep(_ASK_SECONDS)

    async def _serve(self, connection: Connection) -> None:
        """Show the predictor from when the model is ready until its stream ends."""
        await self._until_ready(connection)
        predictor = StreamPredictor(
            connection,
            max_message_bytes=self._max_message_bytes,
            cancels=CANCELLATION in await self._extensions(connection),
        )
        self._set(predictor)
        log.info("inference_server_connected", model=self.model, version=self.version)
        try:
            await predictor.ended.wait()
        finally:
            self._set(None)
        log.warning("inference_server_lost", model=self.model, version=self.version)

    async def _until_ready(self, connection: Connection) -> None:
        question = pb.ModelReadyRequest(name=self.model, version=str(self.version))
        while True:
            raw = await connection.unary(
                path_of("ModelReady"), question.SerializeToString(), timeout=_ANSWER_SECONDS
            )
            if pb.ModelReadyResponse.FromString(raw).ready:
                return
            await asyncio.sleep(_ASK_SECONDS)

    async def _extensions(self, connection: Connection) -> Sequence[str]:
        """Return what the server says that it understands beyond the protocol."""
        try:
            raw = await connection.unary(
                path_of("ServerMetadata"),
                pb.ServerMetadataRequest().SerializeToString(),
                timeout=_ANSWER_SECONDS,
            )
        except RpcError as error:
            if error.code is not StatusCode.UNIMPLEMENTED:
                raise
            return ()
        return pb.ServerMetadataResponse.FromString(raw).extensions

    def _set(self, predictor: Predictor | None) -> None:
        self.predictor = predictor
        self._on_change()
