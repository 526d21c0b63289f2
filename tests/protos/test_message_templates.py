"""Templates render what protobuf encodes, and recognise it and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from protos import open_inference_pb2 as pb
from protos.datatypes import DATATYPES
from protos.message_templates import (
    InferRequestTemplate,
    InferResponseTemplate,
    MessageTemplate,
    TemplateCache,
    split_response,
)
from protos.parameters import CANCEL, INFER_SECONDS, QUEUE_SECONDS
from tests.protos.strategies import TEXT

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
    """Requests with raw content."""
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
    """Answers with raw content, and with both timings or none."""
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


def check(
    template: MessageTemplate, values: Sequence[bytes], encoded: bytes, data: st.DataObject
) -> None:
    """Check that the template renders and matches `encoded`, but no change outside the slots."""
    assert template.render(values) == encoded
    assert template.length == len(encoded)
    assert [encoded[start:end] for start, end in template.slots] == list(values)
    assert template.matches(encoded)
    inside = {place for start, end in template.slots for place in range(start, end)}
    place = data.draw(st.integers(0, len(encoded) - 1), label="place")
    changed = bytearray(encoded)
    changed[place] ^= data.draw(st.integers(1, 255), label="change")
    assert template.matches(bytes(changed)) == (place in inside)


@given(request=requests(), data=st.data())
def test_a_requests_template_renders_what_protobuf_encodes(
    request: pb.ModelInferRequest, data: st.DataObject
) -> None:
    template = InferRequestTemplate.from_message(request)
    assert template is not None
    encoded = request.SerializeToString(deterministic=True)
    check(template, template.slot_values(request), encoded, data)
    assert encoded[template.id_start : template.id_end] == request.id.encode()
    raws = [encoded[start:end] for start, end in template.inputs]
    assert raws == list(request.raw_input_contents)
    if len(request.parameters) < 2 and all(len(each.parameters) < 2 for each in request.inputs):
        assert encoded == request.SerializeToString()  # larger maps have no fixed order


@given(response=responses(), streamed=st.booleans(), data=st.data())
def test_an_answers_template_renders_what_protobuf_encodes(
    response: pb.ModelInferResponse, streamed: bool, data: st.DataObject
) -> None:
    contents = response.raw_output_contents
    template = InferResponseTemplate.from_message(response, contents, streamed=streamed)
    assert template is not None
    message = pb.ModelStreamInferResponse(infer_response=response) if streamed else response
    encoded = message.SerializeToString(deterministic=True)
    check(template, template.slot_values(response, contents), encoded, data)
    assert encoded[template.id_start : template.id_end] == response.id.encode()
    raws = [encoded[start:end] for start, end in template.outputs]
    assert raws == list(contents)
    queue, infer = (response.parameters[key].double_param for key in (QUEUE_SECONDS, INFER_SECONDS))
    assert repr(template.timings(encoded)) == repr((queue, infer))  # repr, because NaN != NaN


def test_a_template_can_be_made_for_a_request_without_inputs() -> None:
    request = pb.ModelInferRequest(id="12345678")
    request.parameters[CANCEL].bool_param = True
    template = InferRequestTemplate(request, len(request.id), ())
    assert template.render((request.id.encode(), b"")) == request.SerializeToString()
    assert template.inputs == [(template.length, template.length)]


def test_messages_without_raw_content_have_no_template() -> None:
    typed = pb.ModelInferRequest()
    typed.inputs.add(name="x", datatype="FP32", shape=[1]).contents.fp32_contents.append(1)
    assert InferRequestTemplate.from_message(typed) is None
    typed.raw_input_contents.extend([b"1234", b"5678"])
    assert InferRequestTemplate.from_message(typed) is None
    assert InferRequestTemplate.from_message(pb.ModelInferRequest()) is None
    empty = pb.ModelInferResponse()
    assert InferResponseTemplate.from_message(empty, [], streamed=True) is None
    assert InferResponseTemplate.from_message(empty, [b"1234"], streamed=False) is None


@given(response=responses(), error=st.text(max_size=3))
def test_a_split_response_is_the_response_without_its_raw_contents(
    response: pb.ModelInferResponse, error: str
) -> None:
    whole = pb.ModelStreamInferResponse(error_message=error, infer_response=response)
    rest, raws = split_response(whole.SerializeToString())
    assert raws == list(response.raw_output_contents)
    rest.infer_response.raw_output_contents.extend(map(bytes, raws))
    encoded = rest.SerializeToString(deterministic=True)
    assert encoded == whole.SerializeToString(deterministic=True)


@given(parts=st.lists(responses(), min_size=2, max_size=3))
def test_parts_of_a_response_are_merged_as_protobuf_does(
    parts: list[pb.ModelInferResponse],
) -> None:
    message = b"".join(
        pb.ModelStreamInferResponse(infer_response=part).SerializeToString() for part in parts
    )
    whole = pb.ModelStreamInferResponse.FromString(message)
    rest, raws = split_response(message)
    rest.infer_response.raw_output_contents.extend(map(bytes, raws))
    encoded = rest.SerializeToString(deterministic=True)
    assert encoded == whole.SerializeToString(deterministic=True)


@given(response=responses(), data=st.data())
def test_a_damaged_response_is_split_as_protobuf_parses_it_or_not_at_all(
    response: pb.ModelInferResponse, data: st.DataObject
) -> None:
    message = bytearray(pb.ModelStreamInferResponse(infer_response=response).SerializeToString())
    message[data.draw(st.integers(0, min(len(message) - 1, 30)))] = data.draw(st.integers(0, 255))
    damaged = bytes(message[: data.draw(st.integers(1, len(message)))])
    try:
        rest, raws = split_response(damaged)
    except DecodeError:
        return
    whole = pb.ModelStreamInferResponse.FromString(damaged)
    assert whole.HasField("infer_response") or not raws
    if whole.HasField("infer_response"):  # else this would add an empty one
        rest.infer_response.raw_output_contents.extend(map(bytes, raws))
    encoded = rest.SerializeToString(deterministic=True)
    assert encoded == whole.SerializeToString(deterministic=True)


@pytest.mark.parametrize("message", [b"\x12\x05\x32\x7f", b"\x12", b"\x12\xff\xff", b"\x0b"])
def test_what_is_no_response_is_not_split(message: bytes) -> None:
    with pytest.raises(DecodeError):
        split_response(message)


@given(kinds=st.lists(requests(), max_size=8), others=st.lists(requests(), max_size=8))
def test_a_cache_finds_what_was_added_and_nothing_else(
    kinds: list[pb.ModelInferRequest], others: list[pb.ModelInferRequest]
) -> None:
    cache: TemplateCache[InferRequestTemplate] = TemplateCache()
    added: list[InferRequestTemplate] = []
    for request in kinds:
        template = InferRequestTemplate.from_message(request)
        assert template is not None
        cache.add(template, template)
        added.append(template)
    for request in (*kinds, *others):
        message = request.SerializeToString(deterministic=True)
        found = cache.find(message)
        fitting = [
            template
            for template in added
            if template.length == len(message) and template.matches(message)
        ]
        assert (found in fitting) if fitting else (found is None)


def named(name: str, size: int = 1) -> InferRequestTemplate:
    """Return a template of requests."""
    head = pb.ModelInferRequest(model_name=name)
    head.inputs.add(name="x", datatype="UINT8", shape=[size])
    return InferRequestTemplate(head, 0, [size])


def test_a_cache_keeps_the_newest_eight_templates_of_a_length() -> None:
    cache: TemplateCache[int] = TemplateCache()
    templates = [named(f"{number:04}") for number in range(20)]
    for number, template in enumerate(templates):
        cache.add(template, number)
    found = [cache.find(template.render((b"", b"\0"))) for template in templates]
    assert found == [None] * 12 + list(range(12, 20))


def test_a_cache_stays_within_its_bound() -> None:
    cache: TemplateCache[int] = TemplateCache()
    templates = [
        named("m" * (1 + number % 1500), 1 + 4000 * (number // 1500)) for number in range(5000)
    ]
    highest = 0
    for number, template in enumerate(templates):
        cache.add(template, number)
        assert cache.find(template.render((b"", bytes(template.sizes[0])))) == number
        if number in (4095, 4096, 4999):
            kept = [cache.find(each.render((b"", bytes(each.sizes[0])))) for each in templates]
            highest = max(highest, sum(each is not None for each in kept))
    assert 0 < highest <= 4096
