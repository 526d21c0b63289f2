"""The body of a REST inference request: JSON, and the binary tensors after it."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import GatewayError
from gateway.oip.http_request import HEADER_LENGTH, ParsedInferRequest, parse_infer
from protos.datatypes import DATATYPES
from protos.errors import ErrorCode, TensorError
from protos.tensors import decode_raw

X: dict[str, Any] = {"name": "x", "datatype": "FP32", "shape": [2], "data": [1, 2.5]}
RAW = np.array([1, 2.5], "<f4").tobytes()


def binary(name: str = "x", size: object = 8, **more: object) -> dict[str, Any]:
    """Return a tensor of two FP32 whose bytes come after the JSON."""
    parameters = {"binary_data_size": size}
    return {"name": name, "datatype": "FP32", "shape": [2], "parameters": parameters, **more}


def parsed(
    document: object, tail: bytes | None = None, length: bytes | None = None
) -> ParsedInferRequest:
    """Return what a document, with bytes after it, asks for; `length` in place of the true one."""
    head = orjson.dumps(document)
    if tail is None:
        return parse_infer(head, {})
    return parse_infer(head + tail, {HEADER_LENGTH: length or b"%d" % len(head)})


def refused(
    document: object, tail: bytes | None = None, code: ErrorCode = ErrorCode.INVALID_REQUEST
) -> str:
    """Return why a request is refused."""
    with pytest.raises(GatewayError) as caught:
        parsed(document, tail)
    assert caught.value.code is code
    return caught.value.message


def tensor_refused(tensor: dict[str, Any], tail: bytes | None = None) -> str:
    """Return why a tensor is refused; the message must name it."""
    with pytest.raises(TensorError) as caught:
        parsed({"inputs": [tensor]}, tail)
    assert str(caught.value).startswith("tensor 'x': ")
    return str(caught.value)


def test_a_json_request_becomes_raw_tensors_in_their_order() -> None:
    text = {"name": "t", "datatype": "BYTES", "shape": [1, 2], "data": [["ü", ""]]}
    asked = parsed({"id": "call 1", "inputs": [X, text]})
    request = asked.request
    assert request.id == "call 1"
    assert [(each.name, each.datatype, list(each.shape)) for each in request.inputs] == [
        ("x", "FP32", [2]),
        ("t", "BYTES", [1, 2]),
    ]
    assert asked.raws == [RAW, b"\x02\0\0\0\xc3\xbc\0\0\0\0"]
    assert not asked.binary_default
    assert not asked.binary
    assert not request.outputs


def test_a_parsed_request_is_pickled_without_protobufs_classes() -> None:
    outputs = [{"name": "y", "parameters": {"binary_data": True}}]
    asked = parsed({"id": "1", "inputs": [X], "outputs": outputs, "parameters": {"k": 3}})
    pickled = pickle.dumps(asked)
    assert pickle.loads(pickled) == asked
    assert b"ModelInferRequest" not in pickled


def test_binary_and_json_inputs_can_be_mixed() -> None:
    document = {"inputs": [binary("a"), X, binary("b", 4, shape=[1])]}
    asked = parsed(document, RAW + b"wxyz")
    request = asked.request
    assert asked.raws == [RAW, RAW, b"wxyz"]
    assert [each.name for each in request.inputs] == ["a", "x", "b"]
    assert "binary_data_size" not in request.inputs[0].parameters


@given(
    parts=st.lists(st.tuples(st.binary(max_size=20), st.booleans()), max_size=6),
    spaces=st.text(" \n\t\r", max_size=5),
)
def test_every_binary_input_gets_exactly_its_own_bytes(
    parts: list[tuple[bytes, bool]], spaces: str
) -> None:
    inputs = []
    for number, (data, is_binary) in enumerate(parts):
        tensor: dict[str, Any] = {"name": str(number), "datatype": "UINT8", "shape": [len(data)]}
        if is_binary:
            inputs.append({**tensor, "parameters": {"binary_data_size": len(data)}})
        else:
            inputs.append({**tensor, "data": list(data)})
    head = orjson.dumps({"inputs": inputs}) + spaces.encode()
    tail = b"".join(data for data, is_binary in parts if is_binary)
    asked = parse_infer(head + tail, {HEADER_LENGTH: b"%d" % len(head)})
    assert asked.raws == [data for data, _ in parts]


@given(body=st.binary(max_size=60), length=st.none() | st.binary(max_size=4) | st.integers(0, 70))
def test_any_body_is_read_or_refused(body: bytes, length: bytes | int | None) -> None:
    headers = {}
    if length is not None:
        headers[HEADER_LENGTH] = length if isinstance(length, bytes) else b"%d" % length
    with pytest.raises((GatewayError, TensorError)):  # the odds of a good one are nil
        parse_infer(body, headers)


@pytest.mark.parametrize("length", [b"-1", b"+5", b"1.5", b" 7", b"0x10", b"", b"\xb2", b"1" * 18])
def test_an_invalid_header_length_is_refused_and_shown(length: bytes) -> None:
    body = orjson.dumps({"inputs": [X]})
    with pytest.raises(GatewayError) as caught:
        parse_infer(body, {HEADER_LENGTH: length})
    assert caught.value.code is ErrorCode.INVALID_REQUEST
    shown = length.decode("latin-1")
    assert caught.value.message == (
        f"Inference-Header-Content-Length: expected 0 to {len(body)}, got '{shown}'"
    )


def test_a_header_length_may_be_the_whole_body_and_no_byte_more() -> None:
    body = orjson.dumps({"inputs": [X]})
    assert parse_infer(body, {HEADER_LENGTH: b"%d" % len(body)}).request.inputs[0].name == "x"
    assert parse_infer(body, {HEADER_LENGTH: b"000%d" % len(body)}).request.inputs
    with pytest.raises(GatewayError) as caught:
        parse_infer(body, {HEADER_LENGTH: b"%d" % (len(body) + 1)})
    assert caught.value.code is ErrorCode.INVALID_REQUEST


@pytest.mark.parametrize("length", [b"0", b"5"])
def test_a_header_length_that_cuts_the_json_leaves_no_json(length: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        parsed({"inputs": [X]}, b"", length)
    assert caught.value.code is ErrorCode.INVALID_JSON
    assert caught.value.message.startswith("the body is not JSON: ")


def test_bytes_after_the_last_input_are_rejected() -> None:
    message = "expected no bytes after the last binary input, got 3"
    assert refused({"inputs": [binary()]}, RAW + b"abc") == message
    assert refused({"inputs": [X]}, b"abc") == message


def test_binary_data_without_the_header_has_no_bytes() -> None:
    message = tensor_refused(binary())
    assert message.endswith("expected 0 to 0, the remaining bytes, got 8")


@pytest.mark.parametrize("size", [9, -1, 2**70, 8.0, "8", True, [8]], ids=repr)
def test_a_binary_size_that_cannot_be_is_refused(size: object) -> None:
    if isinstance(size, int) and size > 2**64:
        size = float(size)  # as orjson reads it
    assert "binary_data_size: expected 0 to 8" in tensor_refused(binary(size=size), RAW)


def test_a_tensor_has_its_data_in_one_place() -> None:
    assert "expected data or binary_data_size, got both" in tensor_refused(binary(data=[1, 2]), RAW)
    nowhere = {name: value for name, value in X.items() if name != "data"}
    assert "expected data, or the parameter binary_data_size" in tensor_refused(nowhere)


@pytest.mark.parametrize("shape", [None, 2, "2", [2.0], ["2"], [True], [None], {}], ids=repr)
def test_a_shape_is_an_array_of_whole_numbers(shape: object) -> None:
    assert "shape: expected an array of whole numbers" in tensor_refused({**X, "shape": shape})


@pytest.mark.parametrize(
    "shape", [[-1], [-1, 0], [2**63], [0, 2**63], [0, 2**40, 2**40], [1] * 33], ids=str
)
def test_a_shape_that_no_tensor_can_have_is_refused(shape: list[int]) -> None:
    tensor_refused({**X, "shape": shape, "data": []})
    tensor_refused(binary(size=0, shape=shape), b"")


def test_codec_errors_name_the_tensor() -> None:
    assert "unknown datatype 'FLOAT'" in tensor_refused({**X, "datatype": "FLOAT"})
    assert "expected 3 elements" in tensor_refused({**X, "shape": [3]})
    assert "expected FP32 values" in tensor_refused({**X, "data": [1, "2"]})


@pytest.mark.parametrize("name", ["FP16", "BF16", "BOOL", "UINT64", "BYTES"])
def test_every_datatype_can_come_as_json(name: str) -> None:
    special: dict[str, list[object]] = {"BOOL": [True, False], "BYTES": ["a", ""]}
    data = special.get(name, [1, 0])
    tensor = {"name": "x", "datatype": name, "shape": [2], "data": data}
    (raw,) = parsed({"inputs": [tensor]}).raws
    came = decode_raw(raw, DATATYPES[name], [2], tensor="x").tolist()
    assert came == ([b"a", b""] if name == "BYTES" else data)


def test_outputs_are_asked_for_in_their_order_and_form() -> None:
    asked = parsed(
        {
            "inputs": [],
            "parameters": {"binary_data_output": True},
            "outputs": [
                {"name": "b", "parameters": {"binary_data": False, "k": 3}},
                {"name": "a"},
                {"name": "c", "parameters": {"binary_data": True}},
            ],
        }
    )
    assert [output.name for output in asked.request.outputs] == ["b", "a", "c"]
    assert asked.binary == {"b": False, "c": True}
    assert asked.binary_default
    assert asked.request.outputs[0].parameters["k"].int64_param == 3
    assert set(asked.request.outputs[0].parameters) == {"k"}
    assert not asked.request.parameters


def test_parameters_keep_their_types() -> None:
    given_parameters = {
        "flag": True,
        "low": -(2**63),
        "high": 2**63 - 1,
        "huge": 2**64 - 1,
        "real": 1.0,
        "text": "ü",
    }
    found = parsed({"inputs": [], "parameters": given_parameters}).request.parameters
    assert {name: value.WhichOneof("parameter_choice") for name, value in found.items()} == {
        "flag": "bool_param",
        "low": "int64_param",
        "high": "int64_param",
        "huge": "uint64_param",
        "real": "double_param",
        "text": "string_param",
    }
    for name, value in found.items():
        assert getattr(value, value.WhichOneof("parameter_choice") or "") == given_parameters[name]


@pytest.mark.parametrize("value", [None, [], {}, [1]], ids=repr)
def test_a_parameter_that_is_not_a_scalar_is_refused(value: object) -> None:
    expected = "parameter 'p': expected a string, number or boolean"
    assert refused({"inputs": [], "parameters": {"p": value}}) == expected
    assert refused({"inputs": [{**X, "parameters": {"p": value}}]}) == expected
    outputs = [{"name": "y", "parameters": {"p": value}}]
    assert refused({"inputs": [], "outputs": outputs}) == expected


@pytest.mark.parametrize("name", ["classification", "shared_memory_region"])
def test_unsupported_features_are_reported(name: str) -> None:
    outputs = [{"name": "y", "parameters": {name: 1}}]
    message = refused({"inputs": [], "outputs": outputs}, code=ErrorCode.NOT_IMPLEMENTED)
    assert message == f"parameter '{name}' is not offered by this server"


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ([], "the body: expected an object"),
        (None, "the body: expected an object"),
        ({}, "inputs: expected an array of tensors"),
        ({"inputs": {}}, "inputs: expected an array of tensors"),
        ({"inputs": [1]}, "inputs[0]: expected an object"),
        ({"inputs": [X, "x"]}, "inputs[1]: expected an object"),
        ({"inputs": [{**X, "name": 1}]}, "an input's name: expected a string"),
        ({"inputs": [{}]}, "an input's name: expected a string"),
        ({"inputs": [{**X, "datatype": None}]}, "'x' datatype: expected a string"),
        ({"inputs": [{**X, "parameters": 1}]}, "'x' parameters: expected an object"),
        ({"inputs": [], "id": 1}, "id: expected a string"),
        ({"inputs": [], "parameters": []}, "parameters: expected an object"),
        ({"inputs": [], "outputs": {}}, "outputs: expected an array of objects with a name"),
        ({"inputs": [], "outputs": ["y"]}, "outputs[0]: expected an object"),
        ({"inputs": [], "outputs": [{}]}, "outputs[0].name: expected a string"),
        (
            {"inputs": [], "parameters": {"binary_data_output": 1}},
            "parameter 'binary_data_output': expected true or false",
        ),
        (
            {"inputs": [], "outputs": [{"name": "y", "parameters": {"binary_data": "no"}}]},
            "parameter 'binary_data': expected true or false",
        ),
    ],
)
def test_a_request_of_the_wrong_form_is_refused_in_words(document: object, said: str) -> None:
    assert refused(document) == said


@pytest.mark.parametrize("encoding", [b"gzip", b"deflate", b"br", b"\xff"])
def test_a_compressed_body_is_refused(encoding: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        parse_infer(b"{}", {b"content-encoding": encoding})
    assert caught.value.code is ErrorCode.UNSUPPORTED_MEDIA_TYPE
    assert parse_infer(b'{"inputs": []}', {b"content-encoding": b"identity"}).request


def test_invalid_json_is_rejected() -> None:
    for body in (b"", b"{", b'{"inputs": [NaN]}', b"\xff", b'{"id": "\\ud800"}', b"[" * 5000):
        with pytest.raises(GatewayError) as caught:
            parse_infer(body, {})
        assert caught.value.code is ErrorCode.INVALID_JSON
