"""Large bodies give the same results and the same errors as orjson, to the last bit."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from itertools import cycle, islice

import numpy as np
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protos import large_json
from protos.datatypes import DATATYPES
from protos.errors import TensorError
from protos.json_tensors import from_json
from protos.large_json import NumberArray
from protos.tensors import encode_raw

FLOATS = ["0.5", "-0.0", "1e-7", "3.4028235e38", "1.1754943508222875e-38", "5e-324", "0.1", "7E+2"]
INTEGERS = ["0", "-0", "1", "255", "-128", "65535"]
UNUSUAL = [
    *("1e39", "-1e39", "3.4028236e38", "1e400", "1e-400", "65520", "2.5e-8"),
    *("9007199254740993", "16777217.0000001", "9223372036854775807", "9223372036854775808"),
    *("18446744073709551615", "18446744073709551616", "-9223372036854775808", "1.0", "1.5"),
    *("true", "null", '"1"', "[]", "[1]", "[[1]]", "{}", '{"a":1}', "NaN", "Infinity"),
    *("", "01", "1.", ".5", "+1", "-", "1e", "0x1", "1 2", "--1", "1_0", "\u0661", "1,1", "]", "["),
]
"""Elements that are valid for no datatype, or for some, or that are not JSON."""
SHAPES = [(3000,), (1, 3000), (1000, 3), (3, 1000), (10, 20, 15), (750, 2, 2), (3000, 1), (1,) * 9]
SPACES = st.sampled_from(["", " ", "\n", "\t ", "\r\n"])


def nested(tokens: list[str], shape: tuple[int, ...], space: str) -> str:
    """Return the text of an array of that shape."""
    if not shape:
        return tokens[0]
    step = len(tokens) // shape[0]
    rows = [tokens[at : at + step] for at in range(0, len(tokens), step)]
    return f"[{f',{space}'.join(nested(row, shape[1:], space) for row in rows)}{space}]"


def array_text(tokens: list[str], shape: tuple[int, ...], space: str = "") -> str:
    """Return the text of an array whose elements repeat `tokens`."""
    return nested(list(islice(cycle(tokens), math.prod(shape))), shape, space)


def result(loads: Callable[[bytes], object], body: bytes, datatype: str) -> object:
    """Return the tensor of the member x, or the error."""
    try:
        document = loads(body)
        assert isinstance(document, dict)
        array = from_json(document["x"], DATATYPES[datatype], tensor="x")
    except (orjson.JSONDecodeError, TensorError) as error:
        return type(error), str(error)
    return array.shape, encode_raw(array, DATATYPES[datatype])


def checked_result(body: str, datatype: str) -> object:
    """Return the result, which must be the same as with orjson."""
    found = result(large_json.loads, body.encode(), datatype)
    assert found == result(orjson.loads, body.encode(), datatype)
    return found


def is_read_as_array(body: bytes) -> bool:
    """Whether the member x became a NumberArray."""
    document = large_json.loads(body)
    assert isinstance(document, dict)
    return isinstance(document["x"], NumberArray)


@pytest.mark.parametrize("shape", SHAPES[:-1], ids=str)
def test_a_rectangle_of_numbers_becomes_a_number_array(shape: tuple[int, ...]) -> None:
    tokens = FLOATS + INTEGERS
    for space in ("", " "):
        assert is_read_as_array(f'{{"x":{array_text(tokens, shape, space)}}}'.encode())


@given(
    datatype=st.sampled_from(list(DATATYPES)),
    tokens=st.lists(st.sampled_from(FLOATS + INTEGERS), min_size=1, max_size=9)
    | st.lists(st.sampled_from(INTEGERS), min_size=1, max_size=9)
    | st.lists(st.integers(-(2**64), 2**64).map(str), min_size=1, max_size=9)
    | st.lists(st.floats(allow_nan=False, allow_infinity=False).map(repr), min_size=1, max_size=9),
    shape=st.sampled_from(SHAPES),
    space=SPACES,
)
def test_numbers_are_the_same_to_the_last_bit(
    datatype: str, tokens: list[str], shape: tuple[int, ...], space: str
) -> None:
    checked_result(f'{{"x":{space}{array_text(tokens, shape, space)}{space}}}', datatype)


@given(
    datatype=st.sampled_from(["FP32", "FP64", "FP16", "BF16", "INT64", "UINT64", "UINT8", "BOOL"]),
    tokens=st.sampled_from([FLOATS, INTEGERS, ["1"], ["true"], ['"a"']]),
    unusual=st.sampled_from(UNUSUAL),
    at=st.integers(0, 2999),
    shape=st.sampled_from(SHAPES[:-1]),
)
@example("FP32", FLOATS, "[]", 0, (3000, 1))
@example("FP32", FLOATS, "", 2999, (3000,))
def test_one_unusual_element_has_the_same_result(
    datatype: str, tokens: list[str], unusual: str, at: int, shape: tuple[int, ...]
) -> None:
    every = list(islice(cycle(tokens), 3000))
    every[at] = unusual
    checked_result(f'{{"x":{nested(every, shape, " ")}}}', datatype)


@given(
    shape=st.sampled_from(SHAPES[:-1]),
    where=st.floats(0, 1),
    removed=st.integers(0, 3),
    added=st.text('[]{},:"\\ 1-.e\ufeff', max_size=3),
)
def test_a_damaged_body_has_the_same_result(
    shape: tuple[int, ...], where: float, removed: int, added: str
) -> None:
    body = f'{{"x":{array_text(FLOATS, shape)}, "y":{array_text(["1"], shape)}}}'
    for at in (int(where * len(body)), int(where * 8), len(body) - 1 - int(where * 8)):
        cut = (body[:at] + added + body[at + removed :]).encode()
        assert lists_or_error(large_json.loads, cut) == lists_or_error(orjson.loads, cut)


def lists_or_error(loads: Callable[[bytes], object], body: bytes) -> object:
    """Return a document with lists, or the error message."""
    try:
        return as_lists(loads(body))
    except orjson.JSONDecodeError as error:
        return str(error)


def as_lists(value: object) -> object:
    """Return a document with lists in place of NumberArrays."""
    if isinstance(value, NumberArray):
        return value.as_list()
    if isinstance(value, dict):
        return {key: as_lists(item) for key, item in value.items()}
    return [as_lists(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    "document",
    [
        '{"x":%s}',
        '{"inputs":[{"name":"a","data":%s},{"data":%s,"shape":[1,2,3]}]}',
        '{"x":%s,"x":1}',
        '{"x":1,"x":%s}',
        '{"x":{"y":[{"z":%s}]},"[":"]","{":[1,"[[",%s]}',
        "[%s]",
        "%s",
        '{"x":[%s,%s]}',
        '{"x":[%s,1,[2]]}',
        '{"x":%s,"text":"a\\"b"}',
        '{"x\\u0022":%s}',
        '{"\u00fc":%s}',
        '{"x":%s} ',
        ' {"x" : %s, "y":[true,null,"",{},[]]}',
    ],
)
def test_everything_around_an_array_is_unchanged(document: str) -> None:
    text = array_text(FLOATS, (10, 20, 15))
    body = document.replace("%s", text).encode()
    assert as_lists(large_json.loads(body)) == json.loads(body) == orjson.loads(body)


def test_without_the_parser_orjson_reads_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_json, "SIMDJSON_AVAILABLE", False)
    body = f'{{"x":{array_text(FLOATS, (3000,))}}}'.encode()
    assert large_json.loads(body) == orjson.loads(body)


@pytest.mark.parametrize("text", ['{"a":[{"x":%s,"y":[1]},"[["]}', '{"x":[%s,[1,2]]}'])
def test_what_checks_the_nesting_sees_every_level(text: str) -> None:
    seen: list[bytes] = []
    body = text.replace("%s", array_text(INTEGERS, (3, 20, 100))).encode()
    large_json.loads(body, seen.append)
    is_cut_out = "[%s" not in text
    assert seen == [text.replace("%s", "[[[]]]").encode() if is_cut_out else body]


def test_what_is_nested_too_deeply_is_not_read() -> None:
    def refuse(_: bytes) -> None:
        raise RecursionError

    with pytest.raises(RecursionError):
        large_json.loads(f'{{"x":{array_text(INTEGERS, (3000,))},invalid'.encode(), refuse)


def test_several_arrays_are_read_separately() -> None:
    first, second = array_text(INTEGERS, (3000,)), array_text(FLOATS, (30, 100))
    document = large_json.loads(f'{{"a":{first},"b":{{"c":{second}}}}}'.encode())
    assert isinstance(document, dict)
    a, b = document["a"], document["b"]["c"]
    assert (a.shape, b.shape) == ((3000,), (30, 100))
    assert a.as_list() == json.loads(first)
    np.testing.assert_array_equal(b.read("d"), np.array(json.loads(second)))


def test_an_array_stays_valid_while_others_are_read() -> None:
    documents = [
        large_json.loads(f'{{"x":{array_text([str(number)], (9000,))}}}'.encode())
        for number in range(3)
    ]
    for number, document in enumerate(documents):
        assert isinstance(document, dict)
        assert document["x"].as_list() == [number] * 9000


@pytest.mark.parametrize(
    ("datatype", "token", "message"),
    [
        ("FP32", "1e39", "a number is out of range for FP32"),
        ("INT64", "9223372036854775808", "expected INT64 values from"),
        ("UINT64", "-1", "expected UINT64 values from"),
        ("INT8", "128", "expected INT8 values from -128 to 127, got 0 to 128"),
        ("INT32", "1.5", "expected INT32 values"),
        ("FP32", "[1]", "expected a rectangular array of FP32, got ragged lists"),
        ("FP32", "true", "expected FP32 values"),
        ("BOOL", "1", "expected BOOL values"),
        ("BYTES", "1", "expected a rectangular array of strings"),
    ],
)
def test_invalid_elements_are_refused_with_the_same_message(
    datatype: str, token: str, message: str
) -> None:
    found = checked_result(f'{{"x":{array_text(["0"] * 2999 + [token], (3000,))}}}', datatype)
    assert isinstance(found, tuple)
    assert found[0] is TensorError
    assert message in found[1]
    body = f'{{"x":[{array_text(["0.5"], (3000,))},[1]]}}'
    assert "got ragged lists" in str(checked_result(body, "FP32"))
