"""Large arrays as JSON, in parts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from protos.json_tensors import dump_in_parts, dump_tensor, dump_with_nulls

SHAPES = [(0,), (3,), (100_000,), (1, 100_000), (3, 50_000), (50_000, 3), (2, 40_000, 0)]
SHAPES += [(200, 200, 3), (2, 1, 40_000), (32_768,), (32_769,), (1, 1, 32_769)]


@pytest.mark.parametrize("dump", [dump_tensor, dump_with_nulls])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_parts_are_the_whole(shape: tuple[int, ...], dump: Callable[[object], bytes]) -> None:
    array = np.linspace(-1, 1, int(np.prod(shape)), dtype=np.float32)
    array[::1001] = np.nan
    array[5::1001] = -np.inf
    array = array.reshape(shape)
    assert b"".join(dump_in_parts(array, dump)) == dump(array)


def test_no_part_is_large() -> None:
    array = np.full((2, 300, 1_000), 1.5, np.float32)
    assert max(map(len, dump_in_parts(array, dump_tensor))) < 200_000
