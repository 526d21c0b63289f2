"""Invalid tensors, in every encoding, are refused with a message that says what is wrong."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protos import open_inference_pb2 as pb
from protos.datatypes import DATATYPES
from protos.errors import ErrorCode, TensorError
from protos.json_tensors import from_json
from protos.tensors import MAX_ELEMENTS, MAX_RANK, decode_contents, decode_raw, element_count

NUMBERS = [name for name in DATATYPES if name not in ("BOOL", "BYTES")]
INTEGERS = [name for name in NUMBERS if "INT" in name]
FLOATS = [name for name in NUMBERS if "INT" not in name]


def refused(read: Callable[[], object]) -> str:
    """Return the error message, which must name the tensor."""
    with pytest.raises(TensorError) as caught:
        read()
    message = str(caught.value)
    assert message.startswith("tensor 'pixels': ")
    assert caught.value.code is ErrorCode.INVALID_TENSOR
    return message


def json_refused(value: object, name: str, shape: list[int] | None = None) -> str:
    """Return the error for a JSON value as a tensor of the datatype `name`."""
    return refused(lambda: from_json(value, DATATYPES[name], tensor="pixels", shape=shape))


def raw_refused(raw: bytes, name: str, shape: list[int]) -> str:
    """Return the error for raw bytes as a tensor of the datatype `name`."""
    return refused(lambda: decode_raw(raw, DATATYPES[name], shape, tensor="pixels"))


def typed_refused(name: str, shape: list[int], **contents: object) -> str:
    """Return the error for typed contents as a tensor of the datatype `name`."""
    message = pb.InferTensorContents(**contents)  # type: ignore[arg-type]
    return refused(lambda: decode_contents(message, DATATYPES[name], shape, tensor="pixels"))


@pytest.mark.parametrize(
    "shape",
    [[-1], [2, -3], [0, -1], [1] * (MAX_RANK + 1), [MAX_ELEMENTS + 1], [2**62] * 32, [0, 2**62]],
    ids=str,
)
@pytest.mark.parametrize("name", ["FP32", "BOOL", "BYTES"])
def test_an_impossible_shape_is_refused_in_every_encoding(name: str, shape: list[int]) -> None:
    refused(lambda: element_count(shape, tensor="pixels"))
    raw_refused(b"", name, shape)
    typed_refused(name, shape)
    json_refused([], name, shape)


def test_a_shape_without_its_elements_allocates_no_memory() -> None:
    raw_refused(b"abc", "BYTES", [MAX_ELEMENTS])
    raw_refused(b"abc", "FP64", [MAX_ELEMENTS])
    typed_refused("BYTES", [MAX_ELEMENTS], bytes_contents=[b"a"])
    json_refused(["a"], "BYTES", [MAX_ELEMENTS])


@pytest.mark.parametrize("name", [name for name in DATATYPES if name != "BYTES"])
def test_a_wrong_number_of_raw_bytes_is_refused(name: str) -> None:
    size = DATATYPES[name].size
    for length in (0, 6 * size - 1, 6 * size + 1, 7 * size):
        message = raw_refused(bytes(length), name, [2, 3])
        assert f"expected {6 * size} bytes" in message
        assert f"{name} and shape [2, 3], got {length}" in message


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x01\0\0",
        b"\x01\0\0\0",
        b"\x01\0\0\0a",
        b"\x01\0\0\0a\x02\0\0\0b",
        b"\x01\0\0\0a\x01\0\0\0b!",
        b"\x01\0\0\0a\x01\0\0\0b\0\0\0\0",
        b"\xff\xff\xff\xff" + b"a" * 8,
    ],
    ids=repr,
)
def test_inconsistent_raw_bytes_elements_are_refused(raw: bytes) -> None:
    assert "expected 2 BYTES elements" in raw_refused(raw, "BYTES", [2])


def _joined(elements: list[bytes]) -> bytes:
    return b"".join(struct.pack("<I", len(element)) + element for element in elements)


_elements = st.lists(st.binary(max_size=9), max_size=5)


@given(raw=st.binary(max_size=40) | _elements.map(_joined), count=st.integers(0, 5))
def test_raw_bytes_elements_round_trip_or_are_refused(raw: bytes, count: int) -> None:
    try:
        elements = decode_raw(raw, DATATYPES["BYTES"], [count], tensor="pixels")
    except TensorError:
        return
    assert _joined(list(elements)) == raw


def test_a_raw_bool_is_0_or_1() -> None:
    assert "must be 0 or 1, got 2" in raw_refused(b"\x00\x01\x02", "BOOL", [3])
    assert decode_raw(b"\x00\x01", DATATYPES["BOOL"], [2], tensor="x").tolist() == [False, True]


def test_a_wrong_number_of_typed_elements_is_refused() -> None:
    message = typed_refused("FP32", [2, 2], fp32_contents=[1, 2, 3])
    assert message.endswith("expected 4 elements for shape [2, 2], got 3")
    typed_refused("FP32", [], fp32_contents=[])


@pytest.mark.parametrize("name", ["FP16", "BF16"])
def test_half_precision_has_no_typed_form(name: str) -> None:
    assert f"{name} has no typed contents; send raw_input_contents" in typed_refused(name, [0])


def test_typed_contents_of_another_datatype_are_refused() -> None:
    message = typed_refused("INT64", [1], int_contents=[1])
    assert message.endswith("expected int64_contents for INT64, got int_contents")
    typed_refused("FP32", [1], fp32_contents=[1], fp64_contents=[1])


@pytest.mark.parametrize(
    ("name", "contents"),
    [
        ("INT8", {"int_contents": [-129]}),
        ("INT16", {"int_contents": [2**15]}),
        ("UINT8", {"uint_contents": [256]}),
        ("UINT16", {"uint_contents": [2**16]}),
    ],
)
def test_typed_integers_out_of_range_are_refused(name: str, contents: dict[str, list[int]]) -> None:
    (values,) = contents.values()
    assert f"{name} values out of range: got {values[0]} to {values[0]}" in typed_refused(
        name, [1], **contents
    )


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize(
    "value",
    [None, "1", {}, True, [None], ["1"], [{}], [True], [[1], [True]], [1, False], [1.5, None]],
    ids=repr,
)
def test_json_that_is_not_a_number_is_refused(name: str, value: object) -> None:
    assert f"expected {name} values, got" in json_refused(value, name)


@pytest.mark.parametrize("value", [1, 0.0, "true", [0], [True, 1], [[True], [None]]], ids=repr)
def test_json_that_is_not_a_boolean_is_refused(value: object) -> None:
    assert "expected BOOL values, got" in json_refused(value, "BOOL")


@pytest.mark.parametrize("value", [1, None, True, [1], ["a", None], [["a"], [{}]]], ids=repr)
def test_json_that_is_not_a_string_is_refused(value: object) -> None:
    assert "expected a rectangular array of strings" in json_refused(value, "BYTES")


@pytest.mark.parametrize("name", ["FP32", "INT64", "BOOL", "BYTES"])
def test_ragged_json_is_refused(name: str) -> None:
    one: object = {"BOOL": True, "BYTES": "a"}.get(name, 1)
    ragged: list[object] = [
        [one, [one]],
        [[one], one],
        [[one], [one, one]],
        [[], [one]],
        [[[]], []],
    ]
    for value in ragged:
        assert "rectangular" in json_refused(value, name)
        assert "rectangular" in json_refused(value, name, [2])


@pytest.mark.parametrize("name", ["FP32", "INT64", "BOOL", "BYTES"])
def test_json_nested_deeper_than_any_array_is_refused(name: str) -> None:
    value: object = {"BOOL": True, "BYTES": "a"}.get(name, 1)
    for _ in range(500):
        value = [value]
    assert "rectangular" in json_refused(value, name)
    assert len(json_refused(value, name)) < 200


@pytest.mark.parametrize("name", DATATYPES)
def test_a_wrong_number_of_json_elements_is_refused(name: str) -> None:
    one: object = {"BOOL": True, "BYTES": "a"}.get(name, 1)
    message = json_refused([one, one, one], name, [2, 2])
    assert message.endswith("expected 4 elements for shape [2, 2], got 3")
    message = json_refused([[one, one, one], [one, one, one]], name, [3, 2])
    assert message.endswith("expected data nested as [3, 2], got [2, 3]")


@pytest.mark.parametrize("name", INTEGERS)
def test_json_integers_out_of_range_are_refused(name: str) -> None:
    limits = np.iinfo(DATATYPES[name].dtype)
    for value in (limits.max + 1, limits.min - 1, 10**40, -(10**40)):
        message = json_refused([1, value], name)
        assert f"expected {name} values from {limits.min} to {limits.max}" in message


@pytest.mark.parametrize("name", INTEGERS)
@pytest.mark.parametrize("value", [0.5, [1, 2.5], 1e300, [2**60, 0.5], -9.3e18], ids=repr)
def test_json_fractions_are_not_integers(name: str, value: object) -> None:
    assert f"expected {name} values, got" in json_refused(value, name)


@pytest.mark.parametrize(
    ("name", "value"),
    [("FP16", 65520), ("FP16", [0, -1e5]), ("FP32", 1e39), ("BF16", 3.5e38), ("FP16", 2**64 - 1)],
)
def test_json_numbers_out_of_range_do_not_become_infinities(name: str, value: object) -> None:
    assert f"a number is out of range for {name}" in json_refused(value, name)


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("value", ["nan", "-inf", "infinity", "+Infinity", "1", None])
def test_other_spellings_of_nan_and_infinities_are_refused(name: str, value: object) -> None:
    message = json_refused([1.5, value], name)
    assert f"expected {name} values, got [1.5, {value!r}]" in message
    assert 'send NaN and infinities as "NaN", "Infinity" and "-Infinity"' in message


@pytest.mark.parametrize("name", ["INT32", "BOOL"])
def test_integers_and_booleans_are_finite(name: str) -> None:
    assert f"expected {name} values, got ['NaN']" in json_refused(["NaN"], name)


def test_a_number_out_of_range_beside_nan_is_refused() -> None:
    assert "a number is out of range for FP32" in json_refused(["NaN", 1e39], "FP32")


def test_lone_surrogates_are_refused() -> None:
    assert "a string contains a lone surrogate" in json_refused(["a", "\ud800"], "BYTES")
    assert "a string contains a lone surrogate" in json_refused("\udfff", "BYTES")


def test_one_long_string_among_numbers_does_not_exhaust_memory() -> None:
    value = ["a" * 10_000_000, *[1] * 100_000]  # as one numpy array of text: 4 TB
    for name in ("FP32", "INT64", "BOOL", "BYTES"):
        assert len(json_refused(value, name)) < 300
