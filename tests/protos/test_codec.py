"""Tensors round-trip through every encoding."""

from __future__ import annotations

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protos import open_inference_pb2 as pb
from protos.datatypes import DATATYPES, get_datatype
from protos.errors import TensorError
from protos.json_tensors import dump_tensor, from_json, pack_json, to_json
from protos.tensors import decode_contents, decode_raw, encode_contents, encode_raw
from tests.protos.strategies import arrays, arrays_for_json

TYPED = [name for name, datatype in DATATYPES.items() if datatype.contents]

every_datatype = pytest.mark.parametrize("name", DATATYPES)


def same(decoded: np.ndarray, sent: np.ndarray) -> None:
    """Assert that two arrays are equal to the last bit."""
    assert (decoded.shape, decoded.dtype) == (sent.shape, sent.dtype)
    if sent.dtype.hasobject:
        assert decoded.tolist() == sent.tolist()
    else:
        assert decoded.tobytes() == sent.tobytes()


def json_of(array: np.ndarray, name: str) -> object:
    """Return what a client parses from a JSON answer that contains `array`."""
    return orjson.loads(dump_tensor(to_json(array, DATATYPES[name])))


@every_datatype
@given(data=st.data())
def test_a_raw_tensor_round_trips_bit_for_bit(name: str, data: st.DataObject) -> None:
    array = data.draw(arrays(name))
    raw = encode_raw(array, DATATYPES[name])
    if DATATYPES[name].size:
        assert len(raw) == array.size * DATATYPES[name].size
    same(decode_raw(raw, DATATYPES[name], array.shape, tensor="x"), array)
    same(decode_raw(memoryview(raw), DATATYPES[name], array.shape, tensor="x"), array)


@pytest.mark.parametrize("name", TYPED)
@given(data=st.data())
def test_a_typed_tensor_round_trips_through_a_message(name: str, data: st.DataObject) -> None:
    array = data.draw(arrays(name))
    contents = pb.InferTensorContents()
    encode_contents(array, DATATYPES[name], contents)
    read = pb.InferTensorContents.FromString(contents.SerializeToString())
    decoded = decode_contents(read, DATATYPES[name], array.shape, tensor="x")
    assert decoded.dtype == array.dtype
    np.testing.assert_array_equal(decoded, array, strict=True)


@every_datatype
@given(data=st.data())
def test_a_tensor_round_trips_through_json(name: str, data: st.DataObject) -> None:
    array = data.draw(arrays_for_json(name))
    value = json_of(array, name)
    decoded = from_json(value, DATATYPES[name], tensor="x", shape=array.shape)
    same(decoded, array)
    if array.size:  # the nesting of [[], []] determines its shape, that of [] does not
        same(from_json(value, DATATYPES[name], tensor="x"), array)


@every_datatype
@given(data=st.data())
def test_a_flat_list_with_a_shape_is_the_same_tensor(name: str, data: st.DataObject) -> None:
    array = data.draw(arrays_for_json(name))
    flat = json_of(array.ravel(), name)
    same(from_json(flat, DATATYPES[name], tensor="x", shape=array.shape), array)


@pytest.mark.parametrize("name", ["FP16", "FP32", "FP64", "BF16"])
def test_nan_and_infinities_are_strings_in_json(name: str) -> None:
    array = np.array([[1, np.nan], [np.inf, -np.inf]], DATATYPES[name].dtype)
    assert json_of(array, name) == [[1, "NaN"], ["Infinity", "-Infinity"]]
    assert json_of(array[0, 1], name) == "NaN"
    shape, raw = pack_json(json_of(array, name), DATATYPES[name], tensor="x")
    same(decode_raw(raw, DATATYPES[name], shape, tensor="x"), array)


def test_text_that_says_null_stays_as_it_is() -> None:
    array = np.array([b"null", b"NaN"], object)
    assert json_of(array, "BYTES") == ["null", "NaN"]


def test_bytes_that_are_not_utf_8_are_replaced_in_json() -> None:
    assert json_of(np.array([[b"a\xffb"]], dtype=object), "BYTES") == [["a\ufffdb"]]


def test_raw_is_little_endian_and_row_major() -> None:
    array = np.array([[1, 2], [3, 4]], ">u2").T
    assert encode_raw(array, DATATYPES["UINT16"]) == b"\x01\0\x03\0\x02\0\x04\0"


def test_raw_bytes_elements_are_length_prefixed() -> None:
    array = np.array([b"ab", b""], dtype=object)
    assert encode_raw(array, DATATYPES["BYTES"]) == b"\x02\0\0\0ab\0\0\0\0"


def test_a_raw_tensor_of_fixed_size_is_not_copied() -> None:
    raw = bytes(16)
    array = decode_raw(raw, DATATYPES["FP32"], [4], tensor="x")
    assert not array.flags.writeable
    assert not array.flags.owndata


def test_whole_floats_are_accepted_as_integers_in_json() -> None:
    assert from_json([1.0, -2.0], DATATYPES["INT8"], tensor="x").tolist() == [1, -2]
    assert from_json([[1, 2.0]], DATATYPES["UINT8"], tensor="x").tolist() == [[1, 2]]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("UINT64", [0, 2**64 - 1]),
        ("UINT64", [[2**63], [1]]),
        ("INT64", [-(2**63), 2**63 - 1]),
        ("INT64", [2**53 + 1]),
    ],
)
def test_large_integers_are_exact_in_json(name: str, value: object) -> None:
    assert from_json(value, DATATYPES[name], tensor="x").tolist() == value


def test_integers_are_accepted_as_floats_in_json() -> None:
    decoded = from_json([1, 2**63, -1], DATATYPES["FP64"], tensor="x")
    assert decoded.tolist() == [1.0, float(2**63), -1.0]


@pytest.mark.parametrize("name", ["fp32", "STRING", "", "FP32 "])
def test_the_error_for_an_unknown_datatype_lists_the_known_ones(name: str) -> None:
    with pytest.raises(TensorError, match=f"tensor 'x': unknown datatype '{name}'.*FP32.*BYTES"):
        get_datatype(name, tensor="x")
