"""`pack_json`, the short cut for small arrays, against `from_json`."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protos.datatypes import DATATYPES
from protos.errors import TensorError
from protos.json_tensors import from_json, pack_json
from protos.tensors import encode_raw
from tests.protos.strategies import TEXT


def elements(name: str) -> st.SearchStrategy[object]:
    """Elements of a JSON array, valid for the datatype more often than not."""
    floats = st.floats(allow_nan=False, allow_infinity=False)
    # above that, `pack_json` may differ in the last bit, as its docstring says
    limit = 2**53 if name in ("FP16", "FP32", "FP64") else 2**64
    integers = st.integers(-limit, limit)
    small = st.integers(-130, 260)
    invalid: st.SearchStrategy[object] = st.one_of(st.none(), TEXT, st.booleans())
    kind = DATATYPES[name].dtype.kind
    if kind in "iu":
        return st.one_of(small, integers, small.map(float), floats, invalid)
    if kind == "b":
        return st.one_of(st.booleans(), invalid, small)
    if kind == "O":
        return st.one_of(TEXT, invalid, small)
    return st.one_of(floats, st.floats(width=16, allow_nan=False), small, integers, invalid)


def nested(name: str) -> st.SearchStrategy[object]:
    """Scalars, vectors, matrices, and values of any other nesting."""
    common = st.one_of(*_uniform(name))
    return st.one_of(
        common, st.recursive(elements(name), lambda inner: st.lists(inner, max_size=4))
    )


def _uniform(name: str) -> Sequence[st.SearchStrategy[object]]:
    """Arrays whose elements are all of one kind."""
    floats = st.floats(allow_nan=False, allow_infinity=False)
    kinds: list[st.SearchStrategy[object]] = [st.integers(0, 127), elements(name), floats]
    return [*[st.lists(kind, max_size=6) for kind in kinds], *map(_matrices, kinds)]


def _matrices(kind: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    def rows(width: int) -> st.SearchStrategy[list[list[object]]]:
        return st.lists(st.lists(kind, min_size=width, max_size=width), max_size=4)

    return st.integers(0, 4).flatmap(rows)


@pytest.mark.parametrize("name", DATATYPES)
@given(data=st.data())
def test_pack_json_returns_the_bytes_of_from_json_or_its_error(
    name: str, data: st.DataObject
) -> None:
    value, datatype = data.draw(nested(name)), DATATYPES[name]
    try:
        array = from_json(value, datatype, tensor="x")
    except TensorError as error:
        with pytest.raises(TensorError, match=f"^{re.escape(str(error))}$"):
            pack_json(value, datatype, tensor="x")
    else:
        packed = pack_json(value, datatype, tensor="x")
        assert packed == (array.shape, encode_raw(array, datatype))
