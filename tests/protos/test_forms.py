"""Forms write what protobuf writes, and recognise it, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protos import open_inference_pb2 as pb
from protos.datatypes import DATATYPES
from protos.errors import TensorError
from protos.forms import Form, Memory, RequestForm, ResponseForm
from protos.json_tensors import from_json, pack_json
from protos.parameters import CANCEL, INFER_SECONDS, QUEUE_SECONDS
from protos.tensors import encode_raw
from tests.protos.strategies import TEXT

few = settings(max_examples=60, deadline=None)

SHAPES = st.lists(st.integers(0, 300), max_size=4)
RAWS = st.one_of(
    st.just(b""), st.binary(max_size=20), st.integers(100, 20_000).map(lambda size: b"\x07" * size)
)
PARAMETERS = st.dictionaries(
    TEXT,
    st.one_of(
        st.builds(pb.InferParameter, int64_param=st.integers(-(2**63), 2**63 - 1)),
        st.builds(pb.InferParameter, bool_param=st.booleans()),
        st.builds(pb.InferParameter, string_param=TEXT),
        st.builds(pb.InferParameter, double_param=st.floats()),
        st.just(pb.InferParameter()),
    ),
    max_size=3,
)


@st.composite
def requests(draw: st.DrawFn) -> pb.ModelInferRequest:
    """Return requests whose content is raw."""
    request = pb.ModelInferRequest(model_name=draw(TEXT), model_version=draw(TEXT), id=draw(TEXT))
    for name, value in draw(PARAMETERS).items():
        request.parameters[name].CopyFrom(value)
    for raw in draw(st.lists(RAWS, min_size=1, max_size=4)):
        tensor = request.inputs.add(
            name=draw(TEXT), datatype=draw(st.sampled_from([*DATATYPES])), shape=draw(SHAPES)
        )
        for name, value in draw(PARAMETERS).items():
            tensor.parameters[name].CopyFrom(value)
        request.raw_input_contents.append(raw)
    for name in draw(st.lists(TEXT, max_size=3)):
        request.outputs.add(name=name)
    return request


@st.composite
def responses(draw: st.DrawFn) -> pb.ModelInferResponse:
    """Return answers whose content is raw, with both timings or with none."""
    response = pb.ModelInferResponse(model_name=draw(TEXT), model_version=draw(TEXT), id=draw(TEXT))
    if draw(st.booleans()):
        response.parameters[INFER_SECONDS].double_param = draw(st.floats())
        response.parameters[QUEUE_SECONDS].double_param = draw(st.floats())
    for raw in draw(st.lists(RAWS, min_size=1, max_size=4)):
        response.outputs.add(
            name=draw(TEXT), datatype=draw(st.sampled_from([*DATATYPES])), shape=draw(SHAPES)
        )
        response.raw_output_contents.append(raw)
    return response


def check(form: Form, parts: Sequence[bytes], encoded: bytes, data: st.DataObject) -> None:
    """See that the form writes `encoded`, and takes it, and nothing that differs outside gaps."""
    assert form.fill(parts) == encoded
    assert form.length == len(encoded)
    assert [encoded[start:end] for start, end in form.gaps] == list(parts)
    assert form.matches(encoded)
    inside = {place for start, end in form.gaps for place in range(start, end)}
    place = data.draw(st.integers(0, len(encoded) - 1), label="place")
    changed = bytearray(encoded)
    changed[place] ^= data.draw(st.integers(1, 255), label="change")
    assert form.matches(bytes(changed)) == (place in inside)


@few
@given(request=requests(), data=st.data())
def test_a_requests_form_writes_it_as_protobuf_does(
    request: pb.ModelInferRequest, data: st.DataObject
) -> None:
    form = RequestForm.of(request)
    assert form is not None
    encoded = request.SerializeToString(deterministic=True)
    check(form, form.parts(request), encoded, data)
    assert encoded[form.id_start : form.id_end] == request.id.encode()
    raws = [encoded[start:end] for start, end in form.inputs]
    assert raws == list(request.raw_input_contents)
    if len(request.parameters) < 2 and all(len(each.parameters) < 2 for each in request.inputs):
        assert encoded == request.SerializeToString()  # a map of more has no order of its own


@few
@given(response=responses(), streamed=st.booleans(), data=st.data())
def test_an_answers_form_writes_it_as_protobuf_does(
    response: pb.ModelInferResponse, streamed: bool, data: st.DataObject
) -> None:
    form = ResponseForm.of(response, streamed=streamed)
    assert form is not None
    message = pb.ModelStreamInferResponse(infer_response=response) if streamed else response
    encoded = message.SerializeToString(deterministic=True)
    check(form, form.parts(response), encoded, data)
    assert encoded[form.id_start : form.id_end] == response.id.encode()
    raws = [encoded[start:end] for start, end in form.outputs]
    assert raws == list(response.raw_output_contents)
    queue, infer = (response.parameters[key].double_param for key in (QUEUE_SECONDS, INFER_SECONDS))
    assert repr(form.seconds(encoded)) == repr((queue, infer))  # NaN is NaN here


def test_a_request_without_inputs_has_a_form_when_it_is_made() -> None:
    request = pb.ModelInferRequest(id="12345678")
    request.parameters[CANCEL].bool_param = True
    form = RequestForm(request, len(request.id), ())
    assert form.fill((request.id.encode(), b"")) == request.SerializeToString()
    assert form.inputs == [(form.length, form.length)]


def test_what_is_not_raw_has_no_form() -> None:
    typed = pb.ModelInferRequest()
    typed.inputs.add(name="x", datatype="FP32", shape=[1]).contents.fp32_contents.append(1)
    assert RequestForm.of(typed) is None
    typed.raw_input_contents.extend([b"1234", b"5678"])
    assert RequestForm.of(typed) is None
    assert RequestForm.of(pb.ModelInferRequest()) is None
    assert ResponseForm.of(pb.ModelInferResponse(), streamed=True) is None
    answer = pb.ModelInferResponse(raw_output_contents=[b"1234"])
    assert ResponseForm.of(answer, streamed=False) is None


@few
@given(kinds=st.lists(requests(), max_size=8), others=st.lists(requests(), max_size=8))
def test_a_memory_finds_what_was_added_and_nothing_else(
    kinds: list[pb.ModelInferRequest], others: list[pb.ModelInferRequest]
) -> None:
    memory: Memory[RequestForm] = Memory()
    known: list[RequestForm] = []
    for request in kinds:
        form = RequestForm.of(request)
        assert form is not None
        memory.add(form, form)
        known.append(form)
    for request in (*kinds, *others):
        message = request.SerializeToString(deterministic=True)
        found = memory.find(message)
        fitting = [form for form in known if form.length == len(message) and form.matches(message)]
        assert (found in fitting) if fitting else (found is None)


def named(name: str, size: int = 1) -> RequestForm:
    """Return the form of a request."""
    head = pb.ModelInferRequest(model_name=name)
    head.inputs.add(name="x", datatype="UINT8", shape=[size])
    return RequestForm(head, 0, [size])


def test_a_memory_keeps_eight_of_a_length_the_newest() -> None:
    memory: Memory[int] = Memory()
    forms = [named(f"{number:04}") for number in range(20)]
    for number, form in enumerate(forms):
        memory.add(form, number)
    found = [memory.find(form.fill((b"", b"\0"))) for form in forms]
    assert found == [None] * 12 + list(range(12, 20))


def test_a_memory_keeps_no_more_than_it_may() -> None:
    memory: Memory[int] = Memory()
    forms = [
        named("m" * (1 + number % 1500), 1 + 4000 * (number // 1500)) for number in range(5000)
    ]
    most = 0
    for number, form in enumerate(forms):
        memory.add(form, number)
        assert memory.find(form.fill((b"", bytes(form.sizes[0])))) == number
        if number in (4095, 4096, 4999):
            kept = [memory.find(each.fill((b"", bytes(each.sizes[0])))) for each in forms]
            most = max(most, sum(each is not None for each in kept))
    assert 0 < most <= 4096


def leaves(name: str) -> st.SearchStrategy[object]:
    """Return what stands in a JSON array, right for the datatype more often than not."""
    floats = st.floats(allow_nan=False, allow_infinity=False)
    # above, `pack_json` may be off by the last bit, as it says
    most = 2**53 if name in ("FP16", "FP32", "FP64") else 2**64
    integers = st.integers(-most, most)
    small = st.integers(-130, 260)
    strange: st.SearchStrategy[object] = st.one_of(st.none(), TEXT, st.booleans())
    kind = DATATYPES[name].dtype.kind
    if kind in "iu":
        return st.one_of(small, integers, small.map(float), floats, strange)
    if kind == "b":
        return st.one_of(st.booleans(), strange, small)
    if kind == "O":
        return st.one_of(TEXT, strange, small)
    return st.one_of(floats, st.floats(width=16, allow_nan=False), small, integers, strange)


def nested(name: str) -> st.SearchStrategy[object]:
    """Return scalars, vectors, matrices, and what is none of them."""
    common = st.one_of(*_alike(name))
    return st.one_of(common, st.recursive(leaves(name), lambda inner: st.lists(inner, max_size=4)))


def _alike(name: str) -> Sequence[st.SearchStrategy[object]]:
    """Return arrays whose elements are all of one kind."""
    floats = st.floats(allow_nan=False, allow_infinity=False)
    kinds: list[st.SearchStrategy[object]] = [st.integers(0, 127), leaves(name), floats]
    return [*[st.lists(kind, max_size=6) for kind in kinds], *map(_matrices, kinds)]


def _matrices(kind: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    def rows(width: int) -> st.SearchStrategy[list[list[object]]]:
        return st.lists(st.lists(kind, min_size=width, max_size=width), max_size=4)

    return st.integers(0, 4).flatmap(rows)


@pytest.mark.parametrize("name", DATATYPES)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_packing_is_the_same_as_by_way_of_an_array(name: str, data: st.DataObject) -> None:
    value, datatype = data.draw(nested(name)), DATATYPES[name]
    try:
        array = from_json(value, datatype, tensor="x")
    except TensorError as error:
        with pytest.raises(TensorError, match=f"^{re.escape(str(error))}$"):
            pack_json(value, datatype, tensor="x")
    else:
        packed = pack_json(value, datatype, tensor="x")
        assert packed == (array.shape, encode_raw(array, datatype))
