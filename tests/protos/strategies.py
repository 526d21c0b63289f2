"""Hypothesis strategies for arrays of every datatype and many shapes."""

from __future__ import annotations

import ml_dtypes
import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from protos.datatypes import DATATYPES
from protos.tensors import MAX_RANK

SHAPES = st.one_of(
    st.just(()),
    st.lists(st.integers(0, 4), min_size=1, max_size=4).map(tuple),
    st.integers(1, MAX_RANK).map(lambda rank: (1,) * rank),
    st.sampled_from([(0,), (0, 3), (3, 0), (2, 0, 4), (1, 2) + (1,) * 29 + (3,)]),
)
"""Scalars, empty and small shapes, and the maximum number of dimensions."""

RAW_BYTES = st.one_of(
    st.binary(max_size=9), st.sampled_from([b"\0", b"a\0", b"\xff\xfe", b"\0\0\0\1"])
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
"""Text that UTF-8 can encode, including NUL."""


def arrays(datatype: str) -> st.SearchStrategy[np.ndarray]:
    """Arrays of `datatype`, with NaN and infinities if it has them."""
    if datatype == "BYTES":
        return SHAPES.flatmap(lambda shape: _objects(shape, RAW_BYTES))
    if datatype == "BF16":
        return npst.arrays(np.uint16, SHAPES).map(lambda bits: bits.view(ml_dtypes.bfloat16))
    return npst.arrays(DATATYPES[datatype].dtype, SHAPES)


def arrays_for_json(datatype: str) -> st.SearchStrategy[np.ndarray]:
    """Arrays that JSON can represent: BYTES that are UTF-8, and only one of the many NaNs."""
    if datatype == "BYTES":
        return SHAPES.flatmap(lambda shape: _objects(shape, TEXT.map(str.encode)))
    return arrays(datatype).map(_with_one_nan)


def _with_one_nan(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind in "biu":
        return array
    nan = np.array(np.nan, array.dtype)
    return np.where(np.isnan(array), nan, array).astype(array.dtype)


def _objects(
    shape: tuple[int, ...], elements: st.SearchStrategy[bytes]
) -> st.SearchStrategy[np.ndarray]:
    count = int(np.prod(shape, dtype=int))
    listed = st.lists(elements, min_size=count, max_size=count)

    def array(values: list[bytes]) -> np.ndarray:
        flat = np.empty(count, dtype=object)
        flat[:] = values
        return flat.reshape(shape)

    return listed.map(array)
