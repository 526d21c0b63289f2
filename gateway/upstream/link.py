"""The standing wish to be connected to one inference server: connect, serve, connect again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import grpc
import grpc.aio

from gateway.upstream.predictor import Predictor
from gateway.upstream.stream import StreamPredictor
from protos import open_inference_pb2 as pb
from protos.service import InferenceStub
from telemetry.logs import logger

_ASK_SECONDS = 0.05
"""Between two questions whether the model is ready; a tiny model boots in 0.2 s."""
_ANSWER_SECONDS = 5.0
_DRAIN_LOOK_SECONDS = 0.02

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
        self._options = [
            # grpc would end the stream, with every call on it: StreamPredictor refuses in time
            ("grpc.max_send_message_length", -1),
            ("grpc.max_receive_message_length", -1),
            # grpc's own back-off grows to two minutes; a restarted server is to be found at once
            ("grpc.initial_reconnect_backoff_ms", 50),
            ("grpc.min_reconnect_backoff_ms", 50),
            ("grpc.max_reconnect_backoff_ms", 500),
            ("grpc.use_local_subchannel_pool", 1),
        ]
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
        async with grpc.aio.insecure_channel(self.address, options=self._options) as channel:
            stub = InferenceStub(channel)
            while True:
                await self._until_ready(stub)
                predictor = StreamPredictor(stub, max_message_bytes=self._max_message_bytes)
                self._set(predictor)
                log.info("inference_server_connected", model=self.model, version=self.version)
                try:
                    await predictor.serve()
                finally:
                    self._set(None)
                log.warning("inference_server_lost", model=self.model, version=self.version)

    async def _until_ready(self, stub: InferenceStub) -> None:
        question = pb.ModelReadyRequest(name=self.model, version=str(self.version))
        while True:
            try:
                answer = await stub.ModelReady(question, timeout=_ANSWER_SECONDS)
                if answer.ready:
                    return
            except grpc.aio.AioRpcError as error:
                log.debug("inference_server_silent", model=self.model, status=error.code().name)
            await asyncio.sleep(_ASK_SECONDS)

    def _set(self, predictor: Predictor | None) -> None:
        self.predictor = predictor
        self._on_change()
