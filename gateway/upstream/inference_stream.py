"""A Predictor on one long-lived ModelStreamInfer stream.

A message on an open stream costs a fraction of a unary call. Calls are told apart by a number of
ours in `id`; the caller's own id is put back into the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from itertools import count

from google.protobuf.message import DecodeError, Message

from gateway.errors import GatewayError
from gateway.upstream.deadlines import DeadlineTimer
from gateway.upstream.predictor import ID_BYTES, Done
from gateway.upstream.reply import InferenceReply
from protos import open_inference_pb2 as pb
from protos.errors import ErrorCode
from protos.message_templates import (
    InferRequestTemplate,
    InferResponseTemplate,
    RawBytes,
    TemplateCache,
)
from protos.methods import method_path
from protos.parameters import CANCEL, TIMEOUT, timeout_microseconds
from protos.status import CODE_KEY, PUSHBACK_KEY, RETRY_KEY, code_of
from telemetry.logs import logger
from transport import GrpcConnection, Metadata, RpcError, Status

_BROKEN = "the connection to the inference server broke during the call; it is being restarted"
_METADATA_SECONDS = 10.0
_BULK = 2**16
"""A message of this size is sent from where its tensors lie."""

_CANCELLATION = InferRequestTemplate(
    pb.ModelInferRequest(parameters={CANCEL: pb.InferParameter(bool_param=True)}), ID_BYTES, ()
)

log = logger("gateway.upstream")


class InferenceStream:
    """The stream and the calls that wait on it."""

    def __init__(
        self,
        connection: GrpcConnection,
        *,
        max_message_bytes: int,
        cancels: bool = False,
        metadata: Metadata = (),
    ) -> None:
        """Open the stream; raises RpcError where the connection is over.

        `cancels` says whether the server wants to know which calls nobody waits for any more;
        `metadata` comes with each call of a method.
        """
        self._connection = connection
        self._max_message_bytes = max_message_bytes
        self._most_queued_bytes = 2 * max_message_bytes
        self._loop = asyncio.get_running_loop()
        self._numbers = count(1)
        self._waiting: dict[bytes, Done] = {}
        self._deadlines = DeadlineTimer(self._expired)
        self._forms: TemplateCache[InferResponseTemplate] = TemplateCache()
        self._cancels = cancels
        self._metadata = metadata
        self._ended = False
        self.ended = asyncio.Event()
        """Set when the stream has ended: every call has failed, and no new one is taken."""
        self._stream = connection.open_stream(
            method_path("ModelStreamInfer"),
            on_message=self._answered,
            on_end=self._end,
            metadata=metadata,
        )

    def start(
        self, form: InferRequestTemplate, raws: Sequence[RawBytes], timeout: float, done: Done
    ) -> bytes:
        """See Predictor."""
        number = self._number()
        self._check_sendable(form.length)
        if form.length < _BULK:
            self._stream.send(form.render((number, *raws)))
        else:
            self._stream.send_pieces(form.segments((number, *raws)))
        self._wait(number, timeout, done)
        return number

    def abandon(self, number: bytes) -> None:
        """See Predictor."""
        if self._waiting.pop(number, None) is None:
            return
        self._deadlines.forget(number)
        if self._cancels and not self._ended:
            self._stream.send(_CANCELLATION.render((number, b"")))

    async def infer(self, request: pb.ModelInferRequest, timeout: float) -> pb.ModelInferResponse:
        """See Predictor."""
        own_id, number = request.id, self._number()
        request.id = number.decode()
        request.parameters[TIMEOUT].int64_param = timeout_microseconds(timeout)
        message = request.SerializeToString()
        self._check_sendable(len(message))
        self._stream.send(message)
        answer: asyncio.Future[InferenceReply] = self._loop.create_future()
        self._wait(number, timeout, partial(_settle, answer))
        response = (await self._answer(number, answer)).response()
        response.id = own_id
        return response

    async def ask(
        self, form: InferRequestTemplate, raws: Sequence[RawBytes], timeout: float
    ) -> InferenceReply:
        """See Predictor."""
        answer: asyncio.Future[InferenceReply] = self._loop.create_future()
        number = self.start(form, raws, timeout, partial(_settle, answer))
        return await self._answer(number, answer)

    async def metadata(self, name: str, version: str) -> pb.ModelMetadataResponse:
        """See Predictor."""
        request = pb.ModelMetadataRequest(name=name, version=version)
        return pb.ModelMetadataResponse.FromString(await self._ask("ModelMetadata", request))

    async def config(self, name: str, version: str) -> pb.ModelConfigResponse:
        """See Predictor."""
        request = pb.ModelConfigRequest(name=name, version=version)
        return pb.ModelConfigResponse.FromString(await self._ask("ModelConfig", request))

    async def statistics(self, name: str, version: str) -> pb.ModelStatisticsResponse:
        """See Predictor."""
        request = pb.ModelStatisticsRequest(name=name, version=version)
        return pb.ModelStatisticsResponse.FromString(await self._ask("ModelStatistics", request))

    @property
    def in_flight(self) -> int:
        """How many calls wait for their answers."""
        return len(self._waiting)

    async def _ask(self, method: str, request: Message) -> bytes:
        try:
            return await self._connection.unary(
                method_path(method),
                request.SerializeToString(),
                timeout=_METADATA_SECONDS,
                metadata=self._metadata,
            )
        except RpcError as error:
            raise refusal(error) from None

    def _number(self) -> bytes:
        return b"%08x" % (next(self._numbers) & 0xFFFF_FFFF)

    def _check_sendable(self, size: int) -> None:
        if self._ended:
            raise unavailable()
        if size > self._max_message_bytes:
            raise self._too_large(size)
        if self._stream.queued > self._most_queued_bytes:
            reason = "the inference server does not take what is sent to it already"
            raise GatewayError(ErrorCode.OVERLOADED, reason, retry_after=1)

    def _wait(self, number: bytes, timeout: float, done: Done) -> None:
        self._waiting[number] = done
        self._deadlines.add(number, timeout)

    async def _answer(
        self, number: bytes, answer: asyncio.Future[InferenceReply]
    ) -> InferenceReply:
        try:
            return await answer
        finally:
            self.abandon(number)

    def _answered(self, raw: bytes) -> None:
        form = self._forms.find(raw)
        if form is not None:
            self._conclude(raw[form.id_start : form.id_end], InferenceReply(raw, form))
            return
        try:
            message = pb.ModelStreamInferResponse.FromString(raw)
        except DecodeError:
            log.warning("upstream_message_unreadable", size=len(raw))
            self._stream.cancel()  # nobody can know whose it was
            return
        response = message.infer_response
        number = response.id.encode()
        if message.error_message:
            self._conclude(number, _failure(message))
        else:
            self._learn(raw, response)
            self._conclude(number, InferenceReply(raw, response=response))

    def _learn(self, raw: bytes, response: pb.ModelInferResponse) -> None:
        form = InferResponseTemplate.from_message(response, streamed=True)
        if form is not None and form.render(form.slot_values(response)) == raw:
            self._forms.add(form, form)

    def _conclude(self, number: bytes, outcome: InferenceReply | GatewayError) -> None:
        done = self._waiting.pop(number, None)
        if done is not None:  # else its caller has gone, or its time was up
            self._deadlines.forget(number)
            done(outcome)

    def _expired(self, number: bytes, timeout: float) -> None:
        message = f"no answer from the inference server within {timeout:g} s"
        self._conclude(number, GatewayError(ErrorCode.DEADLINE_EXCEEDED, message))

    def _end(self, _status: Status) -> None:
        self._ended = True
        for number in list(self._waiting):
            self._conclude(number, unavailable())
        self.ended.set()

    def _too_large(self, size: int) -> GatewayError:
        message = (
            f"the tensors take {size} bytes, expected at most {self._max_message_bytes} "
            "(setting SLIPSTREAM_MAX_BODY_BYTES)"
        )
        return GatewayError(ErrorCode.PAYLOAD_TOO_LARGE, message)


def _settle(answer: asyncio.Future[InferenceReply], outcome: InferenceReply | GatewayError) -> None:
    if answer.done():
        return  # it was cancelled, and who awaits it has not run yet
    if isinstance(outcome, GatewayError):
        answer.set_exception(outcome)
    else:
        answer.set_result(outcome)


def unavailable() -> GatewayError:
    """Return the error of a call whose connection is gone."""
    return GatewayError(ErrorCode.INFERENCE_SERVER_UNAVAILABLE, _BROKEN, retry_after=1)


def refusal(error: RpcError) -> GatewayError:
    """Return what a unary call's status says, as ours."""
    told = dict(error.trailers)
    name, pushback = told.get(CODE_KEY), told.get(PUSHBACK_KEY)
    code = code_of(error.code.name, name if isinstance(name, str) else None)
    retry_after = None
    if isinstance(pushback, str) and pushback.isdecimal():
        retry_after = int(pushback) / 1e3
    return GatewayError(code, error.message or code, retry_after=retry_after)


def _failure(message: pb.ModelStreamInferResponse) -> GatewayError:
    told = message.infer_response.parameters
    code = ErrorCode.known(told[CODE_KEY].string_param) or ErrorCode.INFERENCE_FAILED
    retry_after = told[RETRY_KEY].double_param if RETRY_KEY in told else None
    return GatewayError(code, message.error_message, retry_after=retry_after)
