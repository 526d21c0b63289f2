"""Rows by column name become lists in the order of the columns."""

from __future__ import annotations

import re

import pytest

from protos.errors import TensorError
from protos.json_tensors import in_column_order

COLUMNS = ("a", "b")


@pytest.mark.parametrize(
    ("value", "rank", "expected"),
    [
        ({"b": 2, "a": 1}, 1, [1, 2]),
        ([{"b": 2, "a": 1}, [3, 4]], 2, [[1, 2], [3, 4]]),
        ([[{"a": 1, "b": 2}], []], 3, [[[1, 2]], []]),
        ([], 2, []),
        # what is no row is left to the check of the tensor
        ({"b": 2, "a": 1}, 2, {"b": 2, "a": 1}),
        ([{"a": 1, "b": 2}], 1, [{"a": 1, "b": 2}]),
        ("text", 2, "text"),
    ],
)
def test_objects_become_lists(value: object, rank: int, expected: object) -> None:
    assert in_column_order(value, COLUMNS, rank, tensor="x") == expected


@pytest.mark.parametrize(
    ("value", "rank", "said"),
    [
        ({"a": 1}, 1, "in row []: missing ['b']"),
        ([[1, 2], {"a": 1, "c": 2}], 2, "in row [1]: missing ['b'], unknown ['c']"),
        ([[{"a": 1, "b": 2}], [{"a": 1, "b": 2, "c": 3}]], 3, "in row [1][0]: unknown ['c']"),
    ],
)
def test_the_first_row_with_other_columns_is_named(value: object, rank: int, said: str) -> None:
    expected = re.escape(f"tensor 'x': expected the columns ['a', 'b'] {said}")
    with pytest.raises(TensorError, match=f"^{expected}$"):
        in_column_order(value, COLUMNS, rank, tensor="x")
