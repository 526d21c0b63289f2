"""A long-lived ModelStreamInfer stream to one inference server.

A message on an open stream costs a fraction of a unary call. Our own numbers in `id` match replies
with calls; the caller's own id is put back into the reply.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from random import randrange
from time import monotonic
from typing import NamedTuple, Protocol

from google.protobuf.message import DecodeError, Message

from gateway.errors import GatewayError
from protos import open_inference_pb2 as pb
from protos.datatypes import get_datatype
from protos.errors import ErrorCode
from protos.message_templates import (
    InferRequestTemplate,
    InferResponseTemplate,
    RawBytes,
    TemplateCache,
    split_response,
)
from protos.methods import method_path
from protos.parameters import CANCEL, TIMEOUT, timeout_microseconds
from protos.status import CODE_KEY, PUSHBACK_KEY, RETRY_KEY, code_of
from protos.tensors import decode_contents, encode_raw
from telemetry.logs import logger
from transport import GrpcConnection, Metadata, RpcError, Status

ID_BYTES = 8
"""Of the number that a stream gives each call, in hexadecimal digits."""
_BROKEN = "the connection to the inference server broke during the call; it is being restarted"
_METADATA_SECONDS = 10.0
_UNCOPIED_BYTES = 2**16
"""A message of this size is sent in pieces, from where its tensors lie."""
_TIMES, _MIN_TIMES = 8, 3
"""How many times are kept, and how many say something."""
_FORGET_SECONDS = 5.0
"""After which a server that was slow gets another call."""
_GIVEN_UP = 256
_TIMER_GRAIN_SECONDS = 0.002
"""Between two checks of deadlines: a deadline may be exceeded by so much."""

_CANCELLATION = InferRequestTemplate(
    pb.ModelInferRequest(parameters={CANCEL: pb.InferParameter(bool_param=True)}), ID_BYTES, ()
)

log = logger("gateway.upstream")


class Caller(Protocol):
    """What waits for a reply. The stream calls one of the two methods, once, unless cancelled."""

    deadline: float
    """By the event loop's clock; the stream sets it, and `timeout` in seconds."""
    timeout: float

    @property
    def caller(self) -> str | None:
        """Whose call it is: the id of a key, or of a user without one; None: anonymous."""

    def on_reply(self, message: bytes, template: InferResponseTemplate | None) -> None:
        """Take an encoded ModelStreamInferResponse; where it has no template, see `templated`."""

    def on_failure(self, error: GatewayError) -> None:
        """Take an error such as `InferenceStreamClient.infer` raises."""


class InferenceStreamClient:
    """The stream and the calls that wait on it.

    It serves any number of calls at once, on one event loop. When the connection breaks, every call
    in flight fails at once and no new one is accepted.
    """

    def __init__(
        self,
        connection: GrpcConnection,
        *,
        max_message_bytes: int,
        cancels: bool = False,
        metadata: Metadata = (),
        is_local: bool = True,
        by_owner: bool = False,
        on_lost: Callable[[Iterable[tuple[bytes, str | None]]], None] | None = None,
    ) -> None:
        """Open the stream; raises RpcError where the connection is over.

        `cancels` says whether the server wants to be told of cancelled calls; `metadata` is sent
        with each call of a method; `is_local`: the server is on this machine; `by_owner`: it wants
        to be told whose calls they are. When the connection breaks, `on_lost` is called with the
        numbers of the calls in flight and of those given up lately, and whose they are.
        """
        self.is_local = is_local
        self.by_owner = by_owner
        """Whether calls share runs there only with others of the same owner, where they name it."""
        self._connection = connection
        self._max_message_bytes = max_message_bytes
        self._max_queued_bytes = 2 * max_message_bytes
        self._loop = asyncio.get_running_loop()
        self._on_lost = on_lost
        # Numbers of several gateways at one server hardly ever meet: a crash is told by them
        self._last_number = randrange(1 << 32)  # nosec B311 # no secret
        self._given_up: deque[tuple[bytes, str | None]] = deque(maxlen=_GIVEN_UP)
        """Calls whose runs may go on although they are forgotten, and whose they were."""
        self._callers: dict[bytes, Caller] = {}
        self._templates: TemplateCache[InferResponseTemplate] = TemplateCache()
        self._cancels = cancels
        self._metadata = metadata
        # One timer for all deadlines: a timer for each call would cost more than sending it.
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._timed = b""
        """The call whose time is taken: one at a time, so that it costs next to nothing."""
        self._timed_at = 0.0
        self._times: deque[float] = deque(maxlen=_TIMES)
        """The last times taken, in seconds."""
        self._usual = 0.0
        """The median of these; 0.0 while there are few."""
        self._measured_at = 0.0
        self._ended = False
        self.refuses = False
        """Whether the server has refused a call, which it has not begun, because it is ending."""
        self.ended = asyncio.Event()
        """Set when the stream has ended: every call has failed, and no new one is accepted."""
        self._stream = connection.open_stream(
            method_path("ModelStreamInfer"),
            on_message=self._on_message,
            on_end=self._on_end,
            metadata=metadata,
        )

    def send(
        self,
        template: InferRequestTemplate,
        raws: Sequence[RawBytes],
        timeout: float,
        caller: Caller,
        *,
        trace: bytes = b"",
    ) -> bytes:
        """Send a request and return its number, by which it can be cancelled.

        Args:
            template: of the request; its ids have ID_BYTES.
            raws: the elements of its inputs.
            timeout: seconds that the reply may take. The request's own `timeout` is the template's.
            caller: gets the reply or an error.
            trace: what names the span that the request is made for, see `encoded_trace`.

        Raises:
            GatewayError: as `infer`, where the call cannot even begin; `caller` gets nothing then.
        """
        size = template.length + len(trace)
        self._check_sendable(size)
        self._last_number += 1
        number = b"%08x" % (self._last_number & 0xFFFF_FFFF)
        if size < _UNCOPIED_BYTES:
            self._stream.send(template.render((number, *raws)) + trace)
        else:
            self._stream.send_pieces([*template.segments((number, *raws)), trace])
        self._wait(number, timeout, caller)
        return number

    async def request(
        self,
        template: InferRequestTemplate,
        raws: Sequence[RawBytes],
        timeout: float,
        caller: str | None = None,
        *,
        trace: bytes = b"",
    ) -> InferenceReply:
        """Return the reply to what `send` sends; raises as `infer`, and as `templated`.

        Its id is the call's number. `caller` is whose call it is.
        """
        answer = _AwaitedReply(self._loop, caller)
        number = self.send(template, raws, timeout, answer, trace=trace)
        original, known = await self._answer(number, answer)
        message, known = (original, known) if known is not None else templated(original)
        return InferenceReply(original, message, known)

    async def infer(
        self, request: pb.ModelInferRequest, timeout: float, caller: str | None = None
    ) -> pb.ModelInferResponse:
        """Return the reply to `request`, with the request's `id`.

        Args:
            request: taken over: the stream may write to it.
            timeout: seconds that the reply may take.
            caller: whose call it is.

        Raises:
            GatewayError: what the server said, INFERENCE_SERVER_UNAVAILABLE if the connection
                broke, DEADLINE_EXCEEDED after `timeout`, OVERLOADED where the server reads nothing.
        """
        own_id = request.id
        self._last_number += 1
        number = b"%08x" % (self._last_number & 0xFFFF_FFFF)
        request.id = number.decode()
        request.parameters[TIMEOUT].int64_param = timeout_microseconds(timeout)
        message = request.SerializeToString()
        request.id = own_id
        self._check_sendable(len(message))
        self._stream.send(message)
        answer = _AwaitedReply(self._loop, caller)
        self._wait(number, timeout, answer)
        reply, _ = await self._answer(number, answer)
        response = pb.ModelStreamInferResponse.FromString(reply).infer_response
        response.id = own_id
        return response

    def cancel(self, number: bytes) -> None:
        """Forget a call, of which the caller hears no more, and tell the server."""
        caller = self._callers.pop(number, None)
        if caller is None:
            return
        self._given_up.append((number, caller.caller))
        if number == self._timed and monotonic() - self._timed_at > self._usual:
            self._take_time()
        if self._cancels and not self._ended:
            self._stream.send(_CANCELLATION.render((number, b"")))

    async def metadata(self, name: str, version: str) -> pb.ModelMetadataResponse:
        """Return the model's inputs and outputs; raises as `infer`."""
        request = pb.ModelMetadataRequest(name=name, version=version)
        return pb.ModelMetadataResponse.FromString(await self._unary("ModelMetadata", request))

    async def config(self, name: str, version: str) -> pb.ModelConfigResponse:
        """Return the model's configuration in Triton's form; raises as `infer`."""
        request = pb.ModelConfigRequest(name=name, version=version)
        return pb.ModelConfigResponse.FromString(await self._unary("ModelConfig", request))

    async def statistics(self, name: str, version: str) -> pb.ModelStatisticsResponse:
        """Return what the server has counted and timed; raises as `infer`."""
        request = pb.ModelStatisticsRequest(name=name, version=version)
        return pb.ModelStatisticsResponse.FromString(await self._unary("ModelStatistics", request))

    @property
    def in_flight(self) -> int:
        """How many calls wait for their replies."""
        return len(self._callers)

    def seconds(self, now: float) -> float:
        """Return what a call usually takes, or one has taken so far; 0.0 if it is not known.

        It is the median of some times, as calls differ. What was measured a while ago does not
        count. `now` is by `monotonic()`.
        """
        if self._timed in self._callers:
            return max(self._usual, now - self._timed_at)
        return self._usual if now - self._measured_at < _FORGET_SECONDS else 0.0

    def _take_time(self) -> None:
        """Note what the timed call has taken: it has its answer, or has waited for too long."""
        seconds = monotonic() - self._timed_at
        if self._timed_at - self._measured_at > _FORGET_SECONDS and seconds < self._usual / 2:
            self._times.clear()  # it was slow, and has become quick
        self._timed = b""
        self._measured_at = self._timed_at + seconds
        self._times.append(seconds)
        known = len(self._times) >= _MIN_TIMES
        self._usual = sorted(self._times)[(len(self._times) - 1) // 2] if known else 0.0

    async def _unary(self, method: str, request: Message) -> bytes:
        try:
            return await self._connection.unary(
                method_path(method),
                request.SerializeToString(),
                timeout=_METADATA_SECONDS,
                metadata=self._metadata,
            )
        except RpcError as error:
            raise _error_of_status(error) from None

    def _check_sendable(self, size: int) -> None:
        if self._ended:
            raise _unavailable()
        if size > self._max_message_bytes:
            raise self._too_large(size)
        if self._stream.queued > self._max_queued_bytes:
            reason = "the inference server does not read what was sent to it before"
            raise GatewayError(ErrorCode.OVERLOADED, reason, retry_after=1)

    def _wait(self, number: bytes, timeout: float, caller: Caller) -> None:
        if self._timed not in self._callers:
            self._timed, self._timed_at = number, monotonic()
        caller.timeout = timeout
        caller.deadline = deadline = self._loop.time() + timeout
        self._callers[number] = caller
        if deadline < self._timer_at:
            self._set_timer(deadline)

    async def _answer(
        self, number: bytes, answer: _AwaitedReply
    ) -> tuple[bytes, InferResponseTemplate | None]:
        try:
            return await answer.future
        finally:
            self.cancel(number)  # does nothing once the reply is there

    def _on_message(self, message: bytes) -> None:
        template = self._templates.find(message)
        if template is None:
            self._on_unknown_message(message)
            return
        number = message[template.id_start : template.id_end]
        if number == self._timed:
            self._take_time()
        caller = self._callers.pop(number, None)
        if caller is not None:  # else the call was cancelled, or its deadline has passed
            caller.on_reply(message, template)

    def _on_unknown_message(self, message: bytes) -> None:
        """Take a reply without a template: parse it, and learn its template if it has one."""
        try:
            parsed, raws = split_response(message)
        except DecodeError:
            log.warning("inference_reply_unreadable", size=len(message))
            self._stream.cancel()  # it cannot be known whose it was
            return
        response = parsed.infer_response
        number = response.id.encode()
        if number == self._timed and not parsed.error_message:  # a refusal is quick anywhere
            self._take_time()
        caller = self._callers.pop(number, None)
        if parsed.error_message:
            error = _error_of_reply(parsed)
            self.refuses |= error.code is ErrorCode.SHUTTING_DOWN
            if caller is not None:
                caller.on_failure(error)
            return
        template = InferResponseTemplate.from_message(response, raws, streamed=True)
        # Same length and constants, which give the slots' sizes: `render` would return the message
        if template and template.length == len(message) and template.matches(message):
            self._templates.add(template, template)
        else:
            template = None
        if caller is not None:
            caller.on_reply(message, template)

    def _set_timer(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = when
        self._timer = self._loop.call_at(when, self._check_deadlines)

    def _check_deadlines(self) -> None:
        """Fail the calls whose deadline has passed; check again at the next deadline."""
        now = self._loop.time()
        self._timer, self._timer_at = None, math.inf
        expired = [item for item in self._callers.items() if item[1].deadline <= now]
        for number, caller in expired:
            if number == self._timed:
                self._take_time()
            if self._callers.pop(number, None) is not None:
                self._given_up.append((number, caller.caller))
                message = f"no answer from the inference server within {caller.timeout:g} s"
                caller.on_failure(GatewayError(ErrorCode.DEADLINE_EXCEEDED, message))
        if self._callers:
            first = min(caller.deadline for caller in self._callers.values())
            self._set_timer(max(first, now + _TIMER_GRAIN_SECONDS))

    def _on_end(self, status: Status) -> None:
        self._ended = True
        # A server that is ending answers what it has read before it ends the stream
        is_planned = dict(status.trailers).get(CODE_KEY) == ErrorCode.SHUTTING_DOWN.value
        self.refuses |= is_planned
        callers, self._callers = self._callers, {}
        if self._on_lost is not None and not is_planned:
            self._on_lost(self._given_up)
            self._on_lost([(number, caller.caller) for number, caller in callers.items()])
        for caller in callers.values():
            caller.on_failure(_not_begun() if is_planned else _unavailable())
        self.ended.set()

    def _too_large(self, size: int) -> GatewayError:
        message = (
            f"the tensors take {size} bytes, expected at most {self._max_message_bytes} "
            "(setting SLIPSTREAM_MAX_BODY_BYTES)"
        )
        return GatewayError(ErrorCode.PAYLOAD_TOO_LARGE, message)


class _AwaitedReply:
    """A caller that is a coroutine."""

    deadline = timeout = 0.0

    def __init__(self, loop: asyncio.AbstractEventLoop, caller: str | None) -> None:
        self.caller = caller
        self.future: asyncio.Future[tuple[bytes, InferResponseTemplate | None]] = (
            loop.create_future()
        )

    def on_reply(self, message: bytes, template: InferResponseTemplate | None) -> None:
        """See Caller."""
        if not self.future.done():  # it may have been cancelled in this turn of the loop
            self.future.set_result((message, template))

    def on_failure(self, error: GatewayError) -> None:
        """See Caller."""
        if not self.future.done():
            self.future.set_exception(error)


class InferenceReply(NamedTuple):
    """A reply, by its template and as protobuf's object."""

    original: bytes
    """The reply as received."""
    message: bytes
    """The reply in the form that `template` describes."""
    template: InferResponseTemplate

    def timings(self) -> tuple[float, float]:
        """Return the seconds in the server's queue and in its inference."""
        return self.template.timings(self.message)

    def response(self) -> pb.ModelInferResponse:
        """Return the reply with raw contents."""
        return _with_raw_contents(self.original)


def templated(message: bytes) -> tuple[bytes, InferResponseTemplate]:
    """Return a reply that has no template in a form that has one, and the template.

    Raises:
        GatewayError: INFERENCE_FAILED where there is no output.
        TensorError: typed contents do not fit their shape.
    """
    parsed, raws = split_response(message)
    response = parsed.infer_response
    contents = raws or _take_typed_contents(response)
    template = InferResponseTemplate.from_message(response, contents, streamed=True)
    if template is None:
        reason = "the inference server's answer has no outputs, or not the bytes of each"
        raise GatewayError(ErrorCode.INFERENCE_FAILED, reason)
    return template.render(template.slot_values(response, contents)), template


def _with_raw_contents(message: bytes) -> pb.ModelInferResponse:
    """Parse a reply; typed contents become raw."""
    response = pb.ModelStreamInferResponse.FromString(message).infer_response
    if not response.raw_output_contents:
        response.raw_output_contents.extend(_take_typed_contents(response))
    return response


def _take_typed_contents(response: pb.ModelInferResponse) -> list[bytes]:
    """Remove the typed contents, which other servers may send, and return them as raw ones."""
    raws: list[bytes] = []
    for output in response.outputs:
        datatype = get_datatype(output.datatype, tensor=output.name)
        array = decode_contents(output.contents, datatype, output.shape, tensor=output.name)
        raws.append(encode_raw(array, datatype))
        output.ClearField("contents")
    return raws


def _not_begun() -> GatewayError:
    message = "the inference server is ending, and has not begun the call"
    return GatewayError(ErrorCode.SHUTTING_DOWN, message, retry_after=1)


def _unavailable() -> GatewayError:
    return GatewayError(ErrorCode.INFERENCE_SERVER_UNAVAILABLE, _BROKEN, retry_after=1)


def _error_of_status(error: RpcError) -> GatewayError:
    """Return what the status of a unary call says."""
    trailers = dict(error.trailers)
    name, pushback = trailers.get(CODE_KEY), trailers.get(PUSHBACK_KEY)
    code = code_of(error.code.name, name if isinstance(name, str) else None)
    retry_after = None
    if isinstance(pushback, str) and pushback.isdecimal():
        retry_after = int(pushback) / 1e3
    return GatewayError(code, error.message or code, retry_after=retry_after)


def _error_of_reply(message: pb.ModelStreamInferResponse) -> GatewayError:
    parameters = message.infer_response.parameters
    code = ErrorCode.known(parameters[CODE_KEY].string_param) or ErrorCode.INFERENCE_FAILED
    retry_after = parameters[RETRY_KEY].double_param if RETRY_KEY in parameters else None
    return GatewayError(code, message.error_message, retry_after=retry_after)
