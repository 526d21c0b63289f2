"""The port behind which a connection to an inference server stands."""

from __future__ import annotations

from typing import Protocol

from protos import open_inference_pb2 as pb


class Predictor(Protocol):
    """One live connection to a server of one model version.

    Owned by its Link, used by any number of calls at once, on one event loop. When the connection
    breaks, every call in flight fails at once and no new one is taken.
    """

    async def infer(self, request: pb.ModelInferRequest, timeout: float) -> pb.ModelInferResponse:
        """Return the answer to `request`, whose `id` comes back as it was.

        Args:
            request: taken over: the connection may write to it.
            timeout: seconds that the answer may take.

        Raises:
            GatewayError: what the server said, INFERENCE_SERVER_UNAVAILABLE if the connection
                broke, DEADLINE_EXCEEDED after `timeout`, OVERLOADED where it takes nothing more.
        """
        ...

    async def metadata(self, name: str, version: str) -> pb.ModelMetadataResponse:
        """Return what the model takes and gives; raises as `infer`."""
        ...

    @property
    def in_flight(self) -> int:
        """How many calls wait for their answers."""
        ...
