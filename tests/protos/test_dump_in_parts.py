"""Large tensors as JSON, in parts."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from protos.datatypes import DATATYPES
from protos.errors import TensorError
from protos.json_tensors import (
    dump_in_parts,
    dump_rows_in_parts,
    dump_tensor,
    dump_with_nulls,
    to_json,
)
from protos.tensors import decode_raw, encode_raw

SHAPES = [(0,), (3,), (100_000,), (1, 100_000), (3, 50_000), (50_000, 3), (2, 40_000, 0)]
SHAPES += [(200, 200, 3), (2, 1, 40_000), (32_768,), (32_769,), (1, 1, 32_769), (), (2, 0, 3)]
Dump = Callable[[object], bytes]


def numbers(shape: tuple[int, ...]) -> np.ndarray:
    array = np.linspace(-1, 1, math.prod(shape), dtype=np.float32)
    array[::1001] = np.nan
    array[5::1001] = -np.inf
    return array.reshape(shape)


def parts_of(raw: bytes, datatype: str, shape: tuple[int, ...], dump: Dump) -> list[bytes]:
    kind = DATATYPES[datatype]
    return list(dump_in_parts(memoryview(raw), kind, shape, dump, tensor="y"))


def whole(raw: bytes, datatype: str, shape: tuple[int, ...], dump: Dump) -> bytes:
    kind = DATATYPES[datatype]
    return dump(to_json(decode_raw(raw, kind, shape, tensor="y"), kind))


@pytest.mark.parametrize("dump", [dump_tensor, dump_with_nulls])
@pytest.mark.parametrize("datatype", ["FP32", "BF16", "INT8", "BOOL"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_parts_are_the_whole(shape: tuple[int, ...], datatype: str, dump: Dump) -> None:
    array = numbers(shape)
    if datatype in ("INT8", "BOOL"):
        array = np.isfinite(array)
    raw = encode_raw(array, DATATYPES[datatype])
    assert b"".join(parts_of(raw, datatype, shape, dump)) == whole(raw, datatype, shape, dump)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("long", [False, True])
def test_the_parts_of_texts_are_the_whole(shape: tuple[int, ...], long: bool) -> None:
    texts = np.empty(math.prod(shape), dtype=object)
    texts[:] = [b'"\xff%d' % at * (20 if long else 1) for at in range(texts.size)]
    raw = encode_raw(texts, DATATYPES["BYTES"])
    parts = parts_of(raw, "BYTES", shape, dump_tensor)
    assert b"".join(parts) == whole(raw, "BYTES", shape, dump_tensor)
    assert max(map(len, parts)) < 1_000_000


@pytest.mark.parametrize("wrong", [b"\4\0\0\0a", b"\1\0\0\0a\1\0\0\0b", b"\0\0"])
def test_texts_of_another_layout_are_refused(wrong: bytes) -> None:
    good = b"\1\0\0\0a" * 50_000
    for raw in (good[:-5] + wrong, good + wrong):
        with pytest.raises(TensorError, match="expected 50000 BYTES elements"):
            parts_of(raw, "BYTES", (50_000,), dump_tensor)


@pytest.mark.parametrize("shape", [(0, 3), (1, 3), (50_000, 3), (7, 20_000)], ids=str)
def test_rows_stay_whole(shape: tuple[int, ...]) -> None:
    array = numbers(shape)
    widths: set[int] = set()

    def dump(rows: np.ndarray) -> bytes:
        widths.add(rows.shape[1])
        return dump_tensor(rows)

    assert b"".join(dump_rows_in_parts(array, dump)) == dump_tensor(array)
    assert widths <= {shape[1]}


def test_no_part_is_large() -> None:
    raw = np.full((2, 300, 1_000), 1.5, np.float32).tobytes()
    assert max(map(len, parts_of(raw, "FP32", (2, 300, 1_000), dump_tensor))) < 200_000
