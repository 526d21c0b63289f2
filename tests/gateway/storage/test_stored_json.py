"""JSON as it is stored."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.storage.stored_json import dump_stored

LARGE = 2**70


@pytest.mark.parametrize(
    "value",
    [{"a": [1, 2.5, None, True, "é"]}, {"x": LARGE, "s": "é"}, {"x": LARGE, "n": None}, "null", []],
)
def test_json_is_written_as_utf_8_without_spaces(value: Any) -> None:
    expected = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    assert dump_stored(value) == expected


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("more", [None, LARGE, "null"])
def test_nan_and_infinities_are_refused(number: float, more: Any) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        dump_stored({"more": more, "x": [{"y": number}]})


def test_halves_of_surrogate_pairs_are_refused() -> None:
    with pytest.raises(UnicodeEncodeError):
        dump_stored({"x": "\ud800"})


@pytest.mark.parametrize("value", [datetime(2026, 1, 1, tzinfo=UTC), {1, 2}, b"x"])
def test_what_is_not_json_is_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        dump_stored({"x": value})
