"""Templates of inference messages: messages that are alike are encoded and recognised cheaply.

Messages of the same kind differ only in their id, in the elements of their tensors and, in answers,
in two timings. All other bytes are the same and in the same places. A template holds those bytes
and the slots between them, so that a message is written by joining pieces and recognised by
comparing them. That takes about 1 µs, with protobuf's objects about 10 µs.

The bytes are protobuf's own, with fields in the order of their numbers, as every known encoder
writes them (https://protobuf.dev/programming-guides/serialization-not-canonical). A template is
only made of a message that it reproduces byte for byte; any other message goes through protobuf.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from struct import Struct
from typing import Generic, Self, TypeVar

from google.protobuf.message import DecodeError

from protos import open_inference_pb2 as pb
from protos.parameters import INFER_SECONDS, QUEUE_SECONDS

_MAX_TEMPLATES = 4096
_MAX_SAME_LENGTH = 8
"""Templates of messages of one length are compared one after the other."""
_DOUBLE = Struct("<d")
pack_double = _DOUBLE.pack

# field numbers
_ID = 3
_RAW_INPUT = 7
_RAW_OUTPUT = 6
_INFER_RESPONSE = 2

RawBytes = bytes | memoryview


class MessageTemplate:
    """Constant bytes, each followed by a slot of a fixed size."""

    __slots__ = ("_checks", "_pieces", "length", "slots")

    def __init__(self, constants: Sequence[bytes], sizes: Sequence[int]) -> None:
        self._pieces: list[RawBytes] = []
        self._checks: list[tuple[bytes, int]] = []
        self.slots: list[tuple[int, int]] = []
        """Start and end of each slot."""
        self.length = 0
        """Bytes of every message of this template."""
        for constant, size in zip(constants, sizes, strict=True):
            self._pieces += (constant, b"")
            self._checks.append((constant, self.length))
            start = self.length + len(constant)
            self.length = start + size
            self.slots.append((start, self.length))

    def render(self, values: Sequence[RawBytes]) -> bytes:
        """Return the message with these slot values, which must have the slots' sizes."""
        pieces = self._pieces.copy()
        pieces[1::2] = values
        return b"".join(pieces)

    def segments(self, values: Sequence[RawBytes]) -> list[RawBytes]:
        """Return what `render` joins, for a message that is too large to copy."""
        pieces = self._pieces.copy()
        pieces[1::2] = values
        return pieces

    def matches(self, message: bytes) -> bool:
        """Whether `message`, which must be `length` long, is of this template."""
        for constant, start in self._checks:  # noqa: SIM110 - a generator takes twice as long
            if not message.startswith(constant, start):
                return False
        return True


class InferRequestTemplate(MessageTemplate):
    """A kind of ModelInferRequest; its slots are the id and each input's raw content."""

    __slots__ = ("id_end", "id_start", "sizes")

    def __init__(self, head: pb.ModelInferRequest, id_size: int, sizes: Sequence[int]) -> None:
        """Make a template of messages with `head`'s fields, an id and raw content for each input.

        Args:
            head: all other fields.
            id_size: bytes of the id.
            sizes: bytes of each input's elements; without inputs the last slot is empty.
        """
        names = pb.ModelInferRequest(model_name=head.model_name, model_version=head.model_version)
        rest = pb.ModelInferRequest(
            parameters=head.parameters, inputs=head.inputs, outputs=head.outputs
        )
        first, *tags = [_tag(_RAW_INPUT, size) for size in sizes] or [b""]
        constants = [_encode(names) + _id_tag(id_size), _encode(rest) + first, *tags]
        super().__init__(constants, [id_size, *(sizes or (0,))])
        self.id_start, self.id_end = self.slots[0]
        self.sizes = sizes
        """Bytes of each input's elements."""

    @classmethod
    def from_message(cls, request: pb.ModelInferRequest) -> Self | None:
        """Return the template of `request`; None if it has typed contents or no inputs."""
        raws = request.raw_input_contents
        if not raws or len(raws) != len(request.inputs):
            return None
        return cls(request, len(request.id.encode()), [len(raw) for raw in raws])

    def slot_values(self, request: pb.ModelInferRequest) -> list[bytes]:
        """Return the values of the slots in `request`."""
        return [request.id.encode(), *request.raw_input_contents]

    @property
    def inputs(self) -> list[tuple[int, int]]:
        """Start and end of each input's elements."""
        return self.slots[1:]


class InferResponseTemplate(MessageTemplate):
    """A kind of answer; its slots are the id, two timings, and each output's raw content.

    An answer is a ModelInferResponse or, on a stream, a ModelStreamInferResponse.
    """

    __slots__ = ("has_timings", "id_end", "id_start", "model", "outputs", "tensors", "version")

    def __init__(
        self,
        head: pb.ModelInferResponse,
        id_size: int,
        sizes: Sequence[int],
        *,
        streamed: bool,
        has_timings: bool = True,
    ) -> None:
        """Make a template of answers with `head`'s fields, an id and raw content for each output.

        Args:
            head: model and outputs; there is at least one output.
            id_size: bytes of the id.
            sizes: bytes of each output's elements.
            streamed: whether the answers are messages of a stream.
            has_timings: whether they contain QUEUE_SECONDS and INFER_SECONDS.
        """
        names = pb.ModelInferResponse(model_name=head.model_name, model_version=head.model_version)
        first, *tags = [_tag(_RAW_OUTPUT, size) for size in sizes]
        outputs = _encode(pb.ModelInferResponse(outputs=head.outputs)) + first
        slots = [id_size, *([_DOUBLE.size] * 2 if has_timings else []), *sizes]
        timings = _TIMINGS if has_timings else ()
        constants = [_encode(names) + _id_tag(id_size), *timings, outputs, *tags]
        if streamed:
            length = sum(map(len, constants)) + sum(slots)
            constants[0] = _tag(_INFER_RESPONSE, length) + constants[0]
        super().__init__(constants, slots)
        self.model = head.model_name
        self.version = head.model_version
        self.has_timings = has_timings
        self.id_start, self.id_end = self.slots[0]
        self.outputs = self.slots[3 if has_timings else 1 :]
        """Start and end of each output's elements."""
        self.tensors = [
            (output.name, output.datatype, tuple(output.shape)) for output in head.outputs
        ]
        """Name, datatype and shape of each output."""

    @classmethod
    def from_message(
        cls, response: pb.ModelInferResponse, raws: Sequence[RawBytes], *, streamed: bool
    ) -> Self | None:
        """Return the template of `response` with these raw contents.

        None if there are no outputs, or not the contents of each. Parameters other than the two
        timings are left out.
        """
        if not raws or len(raws) != len(response.outputs):
            return None
        parameters = response.parameters
        return cls(
            response,
            len(response.id.encode()),
            [len(raw) for raw in raws],
            streamed=streamed,
            has_timings=INFER_SECONDS in parameters and QUEUE_SECONDS in parameters,
        )

    def slot_values(
        self, response: pb.ModelInferResponse, raws: Sequence[RawBytes]
    ) -> list[RawBytes]:
        """Return the values of the slots in `response` with these raw contents."""
        timings: list[bytes] = []
        if self.has_timings:
            parameters = response.parameters
            timings = [
                pack_double(parameters[key].double_param) for key in (INFER_SECONDS, QUEUE_SECONDS)
            ]
        return [response.id.encode(), *timings, *raws]

    def timings(self, message: bytes) -> tuple[float, float]:
        """Return the seconds that a call spent in the queue, and in ONNX Runtime."""
        if not self.has_timings:
            return 0.0, 0.0
        (infer,) = _DOUBLE.unpack_from(message, self.slots[1][0])
        (queue,) = _DOUBLE.unpack_from(message, self.slots[2][0])
        return queue, infer


def split_response(message: bytes) -> tuple[pb.ModelStreamInferResponse, list[memoryview]]:
    """Parse a ModelStreamInferResponse, except for its raw contents, which stay in `message`.

    protobuf would copy these while it holds the interpreter's lock.

    Returns:
        The response without `raw_output_contents`, and those.

    Raises:
        DecodeError: it is not such a message.
    """
    raws: list[memoryview] = []
    envelope: list[memoryview] = []
    response = pb.ModelStreamInferResponse()
    for tag, field, content in _fields(memoryview(message)):
        if tag != _length_delimited(_INFER_RESPONSE):
            envelope.append(field)
            continue
        head = []
        for inner_tag, inner_field, inner_content in _fields(content):
            if inner_tag == _length_delimited(_RAW_OUTPUT):
                raws.append(inner_content)
            else:
                head.append(inner_field)
        response.infer_response.MergeFromString(b"".join(head))
    response.MergeFromString(b"".join(envelope))
    return response, raws


T = TypeVar("T")


class TemplateCache(Generic[T]):
    """Finds a value by a message whose template it was stored under.

    Both bounds keep a client that sends ever new shapes from filling the memory, or from making
    every look-up compare thousands of templates.
    """

    def __init__(self) -> None:
        self._by_length: dict[int, list[tuple[MessageTemplate, T]]] = {}
        self._count = 0

    def find(self, message: bytes) -> T | None:
        """Return the value stored for messages like this one."""
        for template, value in self._by_length.get(len(message), ()):
            if template.matches(message):
                return value
        return None

    def add(self, template: MessageTemplate, value: T) -> None:
        """Store a value; a full cache is cleared first."""
        if self._count >= _MAX_TEMPLATES:
            self._by_length.clear()
            self._count = 0
        same_length = self._by_length.setdefault(template.length, [])
        if len(same_length) >= _MAX_SAME_LENGTH:
            same_length.pop(0)
        else:
            self._count += 1
        same_length.append((template, value))


def _encode(message: pb.ModelInferRequest | pb.ModelInferResponse) -> bytes:
    return message.SerializeToString(deterministic=True)


def _id_tag(size: int) -> bytes:
    return _tag(_ID, size) if size else b""  # proto3 omits an empty string


def _tag(field: int, size: int) -> bytes:
    """Return what precedes the `size` bytes of a field (https://protobuf.dev/…/encoding)."""
    return bytes([_length_delimited(field), *_varint(size)])


def _length_delimited(field: int) -> int:
    return field << 3 | 2


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview, memoryview]]:
    """Yield each field: its tag, its bytes from the tag on, and its content.

    Raises:
        DecodeError: a field does not end within the message, or its type is unknown.
    """
    start = 0
    while start < len(message):
        tag, at = _read_varint(message, start)
        match tag & 7:
            case 0:
                stop = _read_varint(message, at)[1]
            case 1:
                stop = at + 8
            case 2:
                size, at = _read_varint(message, at)
                stop = at + size
            case 5:
                stop = at + 4
            case _:
                raise DecodeError(f"field with the tag {tag}")
        if stop > len(message):
            raise DecodeError("truncated message")
        yield tag, message[start:stop], message[at:stop]
        start = stop


def _read_varint(message: memoryview, at: int) -> tuple[int, int]:
    """Return the number at `at`, and where it ends."""
    number = 0
    for shift, byte in zip(range(0, 70, 7), message[at : at + 10], strict=False):
        number |= (byte & 0x7F) << shift
        at += 1
        if byte <= 0x7F:  # noqa: PLR2004
            return number, at
    raise DecodeError("truncated message")


def _varint(number: int) -> Iterator[int]:
    while number > 0x7F:  # noqa: PLR2004 - seven bits per byte
        yield number & 0x7F | 0x80
        number >>= 7
    yield number


def _timing(key: str) -> bytes:
    """Return the encoded parameter, up to the eight bytes of its value."""
    response = pb.ModelInferResponse()
    response.parameters[key].double_param = 0.0
    return _encode(response)[: -_DOUBLE.size]


_TIMINGS = (_timing(INFER_SECONDS), _timing(QUEUE_SECONDS))
