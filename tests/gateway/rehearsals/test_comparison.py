"""Where two answers differ."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from gateway.rehearsals.comparison import MAX_CHARACTERS, MAX_POINTERS, find_differences

Found = list[tuple[str, str | None, str | None]]


# Any, below: the JSON of answers
def differences(live: Any, draft: Any, *, null_non_finite: bool = False) -> Found:
    """Return pointer, live and draft of each difference."""
    found = find_differences(orjson.dumps(live), orjson.dumps(draft), null_non_finite)
    return [(one.pointer, one.live, one.draft) for one in found]


@pytest.mark.parametrize(
    ("live", "draft"),
    [
        ({"a": 1, "b": [1, {"c": None}]}, {"b": [1, {"c": None}], "a": 1}),
        (1, 1.0),
        (0.123456789, 0.123456790),
        (6.2e-8, 6.23e-8),
        ([0.1 + 0.2], [0.3]),
    ],
)
def test_answers_that_are_equal(live: Any, draft: Any) -> None:
    assert differences(live, draft) == []


@pytest.mark.parametrize(
    ("live", "draft", "expected"),
    [
        ({"a": {"b/c": 1}}, {"a": {"b/c": 2}}, [("/a/b~1c", "1", "2")]),
        ({"a": 1}, {"b": 1}, [("/a", "1", None), ("/b", None, "1")]),
        ([1, 2], [1], [("/1", "2", None)]),
        ([1], {"0": 1}, [("", "[1]", '{"0":1}')]),
        (True, 1, [("", "true", "1")]),
        ("1", 1, [("", '"1"', "1")]),
        (None, False, [("", "null", "false")]),
        (0.12345, 0.12346, [("", "0.12345", "0.12346")]),
        (2**60, 2**60 + 1, [("", str(2**60), str(2**60 + 1))]),
    ],
)
def test_answers_that_differ(live: Any, draft: Any, expected: Found) -> None:
    assert differences(live, draft) == expected


def test_what_is_told_is_bounded() -> None:
    found = differences({"a": ["x" * 10_000] * 100}, {"a": [0] * 100})
    assert [pointer for pointer, _, _ in found] == [f"/a/{n}" for n in range(MAX_POINTERS)]
    assert {len(live or "") for _, live, _ in found} == {MAX_CHARACTERS}
    assert all((live or "").endswith("…") for _, live, _ in found)


def test_null_stands_for_what_json_has_not_if_the_deployment_says_so() -> None:
    live, draft = [None, None], ["NaN", "-Infinity"]
    assert differences(live, draft, null_non_finite=True) == []
    assert len(differences(live, draft)) == 2
    assert differences(None, "text", null_non_finite=True) == [("", "null", '"text"')]
