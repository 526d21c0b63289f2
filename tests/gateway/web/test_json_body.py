"""How deep JSON may be, and which text it may contain."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import GatewayError
from gateway.fast_path.body import parse_body
from gateway.web.json_body import (
    MAX_DEPTH,
    MAX_VALUES,
    check_depth,
    check_unicode,
    check_value_count,
    may_have_many_values,
)
from protos.errors import ErrorCode

TRICKY = st.sampled_from(["", "]", "[" * 80, '"', "\\", '\\"]', "[{", '"]', "é[", "\\\\"])


def nested(levels: int, inner: object) -> object:
    value = inner
    for level in range(levels):
        value = [value, "]"] if level % 2 else {"[": value}
    return value


def accepted(body: bytes) -> bool:
    try:
        check_depth(body)
    except GatewayError:
        return False
    return True


@given(levels=st.integers(0, 130), texts=st.lists(TRICKY, max_size=4), width=st.integers(0, 90))
def test_exactly_what_is_too_deep_is_refused(levels: int, texts: list[str], width: int) -> None:
    beside = [[text] for text in texts] + [[0]] * width
    document = {"a": nested(levels, "x"), "b": beside, "".join(texts): "".join(texts)}
    assert accepted(orjson.dumps(document)) == (1 + levels <= MAX_DEPTH)


@pytest.mark.parametrize(
    "body",
    [b"[" * 100_000, b'{"a":' * 5000, b"[" * 65 + b"]" * 65],
    ids=["lists", "objects", "closed"],
)
def test_what_is_deep_and_broken_is_refused_as_well(body: bytes) -> None:
    assert not accepted(body)


@pytest.mark.parametrize("levels", [MAX_DEPTH, MAX_DEPTH + 1])
def test_levels_of_large_arrays_count(levels: int) -> None:
    value: object = [[[1.5] * 40] * 10] * 30
    for _ in range(levels - 4):
        value = {"x": value}
    body = orjson.dumps({"input_data": value})
    if levels > MAX_DEPTH:
        with pytest.raises(GatewayError, match="64 levels"):
            parse_body(body, {})
    else:
        assert parse_body(body, {})


def test_a_wide_body_is_not_deep() -> None:
    assert accepted(orjson.dumps({"x": [[1.5, 2.5]] * 50_000}))


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": "\\ud800"}',
        b'{"a": "\\uDFFF\\uD800"}',
        b'{"\\udc00": 1}',
        b'{"a": "\xed\xa0\x80"}',
        b'{"a": "\xff"}',
        '{"a": 1}'.encode("utf-16"),
        '{"a": 1}'.encode("utf-32-le"),
    ],
)
def test_text_that_is_not_unicode_is_refused(body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        check_unicode(body)
    assert caught.value.code is ErrorCode.INVALID_JSON


@given(text=st.text())
def test_any_unicode_text_is_accepted(text: str) -> None:
    check_unicode(json.dumps({text: text}).encode())
    check_unicode(json.dumps({text: text}, ensure_ascii=False).encode())


def test_values_are_counted_and_commas_in_strings_are_not() -> None:
    most = orjson.dumps({"a": [0] * (MAX_VALUES - 4), "b": ",[{" * MAX_VALUES, "c": {}})
    assert may_have_many_values(most)
    check_value_count(most)
    with pytest.raises(GatewayError, match=f"at most {MAX_VALUES} values .*, got {MAX_VALUES + 1}"):
        check_value_count(most[:-2] + b'"d":0}}')
    assert not may_have_many_values(orjson.dumps([0] * MAX_VALUES))


def test_what_is_no_json_is_no_document_of_many_values() -> None:
    with pytest.raises(GatewayError, match="the body is not JSON") as caught:
        check_value_count(b"[" + b"{}," * MAX_VALUES)
    assert caught.value.code is ErrorCode.INVALID_JSON
