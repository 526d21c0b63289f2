"""The port behind which a connection to an inference server stands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from gateway.errors import GatewayError
from gateway.upstream.reply import InferenceReply
from protos import open_inference_pb2 as pb
from protos.message_templates import InferRequestTemplate, RawBytes

ID_BYTES = 8
"""Of the id that a connection gives each call."""

Done = Callable[[InferenceReply | GatewayError], None]


class Predictor(Protocol):
    """One live connection to a server of one model version.

    Owned by its Link, used by any number of calls at once, on one event loop. When the connection
    breaks, every call in flight fails at once and no new one is taken.
    """

    def start(
        self, form: InferRequestTemplate, raws: Sequence[RawBytes], timeout: float, done: Done
    ) -> bytes:
        """Send a request and return its number, by which it can be abandoned.

        Args:
            form: of the request; its ids have ID_BYTES.
            raws: the elements of its inputs.
            timeout: seconds that the answer may take. The request's own `timeout` is the form's.
            done: called once, with the answer or an error such as `infer` raises.

        Raises:
            GatewayError: as `infer`, where the call cannot even begin; `done` is not called then.
        """
        ...

    async def ask(
        self, form: InferRequestTemplate, raws: Sequence[RawBytes], timeout: float
    ) -> InferenceReply:
        """Return the answer to what `start` sends; its id is the call's number. Raises as `infer`.

        Args:
            form: as for `start`.
            raws: as for `start`.
            timeout: as for `start`.
        """
        ...

    def abandon(self, number: bytes) -> None:
        """Take note that nobody waits for a call: its `done` is not called any more."""
        ...

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

    async def config(self, name: str, version: str) -> pb.ModelConfigResponse:
        """Return the model's configuration as Triton has it; raises as `infer`."""
        ...

    async def statistics(self, name: str, version: str) -> pb.ModelStatisticsResponse:
        """Return what the server has counted and timed; raises as `infer`."""
        ...

    @property
    def in_flight(self) -> int:
        """How many calls wait for their answers."""
        ...
