"""Inference messages that are alike: what they share is encoded once, and recognised at a glance.

Calls of one kind differ in their id, in the elements of their tensors and, in answers, in two
timings. All the rest is the same bytes in the same places. A form has these bytes and the gaps
between them, so that a message is written by joining pieces and read by comparing them: about 1 µs,
where protobuf's objects take Python 10.

The bytes are protobuf's own, fields in the order of their numbers (which is what every known
encoder writes, https://protobuf.dev/programming-guides/serialization-not-canonical). A form is only
learnt from a message that it reproduces byte for byte; what has no form goes through protobuf.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from struct import Struct
from typing import Generic, Self, TypeVar

from protos import open_inference_pb2 as pb
from protos.parameters import INFER_SECONDS, QUEUE_SECONDS

_MOST_FORMS = 4096
_MOST_OF_A_LENGTH = 8
"""These are compared one after the other."""
_DOUBLE = Struct("<d")
pack_double = _DOUBLE.pack

_ID = 3
_RAW_INPUT = 7
_RAW_OUTPUT = 6
_INFER_RESPONSE = 2

Raw = bytes | memoryview


class Form:
    """Constant bytes, a gap after each, and the gaps' sizes."""

    __slots__ = ("_checks", "_pieces", "gaps", "length")

    def __init__(self, constants: Sequence[bytes], sizes: Sequence[int]) -> None:
        self._pieces: list[Raw] = []
        self._checks: list[tuple[bytes, int]] = []
        self.gaps: list[tuple[int, int]] = []
        """Start and end of each gap."""
        self.length = 0
        """Bytes of every message of this form."""
        for constant, size in zip(constants, sizes, strict=True):
            self._pieces += (constant, b"")
            self._checks.append((constant, self.length))
            start = self.length + len(constant)
            self.length = start + size
            self.gaps.append((start, self.length))

    def fill(self, parts: Sequence[Raw]) -> bytes:
        """Return the message whose gaps hold `parts`, which must have the gaps' sizes."""
        pieces = self._pieces.copy()
        pieces[1::2] = parts
        return b"".join(pieces)

    def pieces(self, parts: Sequence[Raw]) -> list[Raw]:
        """Return what `fill` joins, for a message that is too large to be copied."""
        pieces = self._pieces.copy()
        pieces[1::2] = parts
        return pieces

    def matches(self, message: bytes) -> bool:
        """Whether `message`, which is `length` long, is one of these."""
        for constant, start in self._checks:  # noqa: SIM110 - a generator takes twice as long
            if not message.startswith(constant, start):
                return False
        return True


class RequestForm(Form):
    """ModelInferRequests of one kind: the gaps are the id and each input's raw content."""

    __slots__ = ("id_end", "id_start", "sizes")

    def __init__(self, head: pb.ModelInferRequest, id_size: int, sizes: Sequence[int]) -> None:
        """Make the form of messages that have `head`'s fields, an id and one raw part an input.

        Args:
            head: everything else.
            id_size: bytes of the id.
            sizes: bytes of each input's elements; without inputs there is an empty last gap.
        """
        names = pb.ModelInferRequest(model_name=head.model_name, model_version=head.model_version)
        rest = pb.ModelInferRequest(
            parameters=head.parameters, inputs=head.inputs, outputs=head.outputs
        )
        first, *tags = [_tag(_RAW_INPUT, size) for size in sizes] or [b""]
        constants = [_encoded(names) + _id_tag(id_size), _encoded(rest) + first, *tags]
        super().__init__(constants, [id_size, *(sizes or (0,))])
        self.id_start, self.id_end = self.gaps[0]
        self.sizes = sizes
        """Bytes of each input's elements."""

    @classmethod
    def of(cls, request: pb.ModelInferRequest) -> Self | None:
        """Return the form of `request`; None where its content is typed, or there is no input."""
        raws = request.raw_input_contents
        if not raws or len(raws) != len(request.inputs):
            return None
        return cls(request, len(request.id.encode()), [len(raw) for raw in raws])

    def parts(self, request: pb.ModelInferRequest) -> list[bytes]:
        """Return what `request` has in the gaps."""
        return [request.id.encode(), *request.raw_input_contents]

    @property
    def inputs(self) -> list[tuple[int, int]]:
        """Where each input's elements lie."""
        return self.gaps[1:]


class ResponseForm(Form):
    """Answers of one kind: the gaps are the id, two timings, and each output's raw content.

    An answer is a ModelInferResponse, or as part of a stream a ModelStreamInferResponse.
    """

    __slots__ = ("id_end", "id_start", "model", "outputs", "tensors", "timed", "version")

    def __init__(
        self,
        head: pb.ModelInferResponse,
        id_size: int,
        sizes: Sequence[int],
        *,
        streamed: bool,
        timed: bool = True,
    ) -> None:
        """Make the form of answers that have `head`'s fields, an id and one raw part an output.

        Args:
            head: model and outputs; there is at least one output.
            id_size: bytes of the id.
            sizes: bytes of each output's elements.
            streamed: whether the answers are parts of a stream.
            timed: whether they tell QUEUE_SECONDS and INFER_SECONDS.
        """
        names = pb.ModelInferResponse(model_name=head.model_name, model_version=head.model_version)
        first, *tags = [_tag(_RAW_OUTPUT, size) for size in sizes]
        outputs = _encoded(pb.ModelInferResponse(outputs=head.outputs)) + first
        gaps = [id_size, *([_DOUBLE.size] * 2 if timed else []), *sizes]
        constants = [_encoded(names) + _id_tag(id_size), *(_TIMINGS if timed else ()), outputs]
        constants += tags
        if streamed:
            constants[0] = (
                _tag(_INFER_RESPONSE, sum(map(len, constants)) + sum(gaps)) + constants[0]
            )
        super().__init__(constants, gaps)
        self.model = head.model_name
        self.version = head.model_version
        self.timed = timed
        self.id_start, self.id_end = self.gaps[0]
        self.outputs = self.gaps[3 if timed else 1 :]
        """Where each output's elements lie."""
        self.tensors = [
            (output.name, output.datatype, tuple(output.shape)) for output in head.outputs
        ]
        """Name, datatype and shape of each output."""

    @classmethod
    def of(cls, response: pb.ModelInferResponse, *, streamed: bool) -> Self | None:
        """Return the form of `response`; None where its content is typed, or there is no output.

        Parameters other than the two timings are left out.
        """
        raws = response.raw_output_contents
        if not raws or len(raws) != len(response.outputs):
            return None
        return cls(
            response,
            len(response.id.encode()),
            [len(raw) for raw in raws],
            streamed=streamed,
            timed=INFER_SECONDS in response.parameters and QUEUE_SECONDS in response.parameters,
        )

    def parts(self, response: pb.ModelInferResponse) -> list[bytes]:
        """Return what `response` has in the gaps."""
        timings: list[bytes] = []
        if self.timed:
            told = response.parameters
            timings = [
                pack_double(told[key].double_param) for key in (INFER_SECONDS, QUEUE_SECONDS)
            ]
        return [response.id.encode(), *timings, *response.raw_output_contents]

    def seconds(self, message: bytes) -> tuple[float, float]:
        """Return what an answer tells of its time: in the queue, and in ONNX Runtime."""
        if not self.timed:
            return 0.0, 0.0
        (infer,) = _DOUBLE.unpack_from(message, self.gaps[1][0])
        (queue,) = _DOUBLE.unpack_from(message, self.gaps[2][0])
        return queue, infer


Known = TypeVar("Known")


class Memory(Generic[Known]):
    """What is known about messages, by their form."""

    def __init__(self) -> None:
        self._by_length: dict[int, list[tuple[Form, Known]]] = {}
        self._count = 0

    def find(self, message: bytes) -> Known | None:
        """Return what is remembered about messages such as this one."""
        for form, known in self._by_length.get(len(message), ()):
            if form.matches(message):
                return known
        return None

    def add(self, form: Form, known: Known) -> None:
        """Remember something; when there is too much to remember, everything else is forgotten."""
        if self._count >= _MOST_FORMS:
            self._by_length.clear()
            self._count = 0
        alike = self._by_length.setdefault(form.length, [])
        if len(alike) >= _MOST_OF_A_LENGTH:
            alike.pop(0)
        else:
            self._count += 1
        alike.append((form, known))


def _encoded(message: pb.ModelInferRequest | pb.ModelInferResponse) -> bytes:
    return message.SerializeToString(deterministic=True)


def _id_tag(size: int) -> bytes:
    return _tag(_ID, size) if size else b""  # proto3 leaves an empty string out


def _tag(field: int, size: int) -> bytes:
    """Return what precedes the `size` bytes of a field (https://protobuf.dev/…/encoding)."""
    return bytes([field << 3 | 2, *_varint(size)])


def _varint(number: int) -> Iterator[int]:
    while number > 0x7F:  # noqa: PLR2004 - seven bits a byte
        yield number & 0x7F | 0x80
        number >>= 7
    yield number


def _timing(key: str) -> bytes:
    """Return the encoded parameter, up to the eight bytes of its value."""
    response = pb.ModelInferResponse()
    response.parameters[key].double_param = 0.0
    return _encoded(response)[: -_DOUBLE.size]


_TIMINGS = (_timing(INFER_SECONDS), _timing(QUEUE_SECONDS))
