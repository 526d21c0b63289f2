"""Tensors of a model as expressions of numpy over a variable `input_data`. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gateway.examples.call_target import GrpcInput
from gateway.examples.literals import python_literal

_DTYPES = {
    "BOOL": "np.bool_",
    "INT8": "np.int8",
    "INT16": "np.int16",
    "INT32": "np.int32",
    "INT64": "np.int64",
    "UINT8": "np.uint8",
    "UINT16": "np.uint16",
    "UINT32": "np.uint32",
    "UINT64": "np.uint64",
    "FP16": "np.float16",
    "FP32": "np.float32",
    "FP64": "np.float64",
    "BF16": "np.float32",  # numpy has none: tritonclient converts it
    "BYTES": "np.object_",
}


# Any: what callers send
def numpy_tensors(
    inputs: Sequence[GrpcInput], input_data: Mapping[str, Any]
) -> Iterator[tuple[str, str, str, str]]:
    """Yield name, datatype, numpy's type and value of each tensor, as code.

    Optional tensors for which `input_data` has no value are left out.
    """
    for each in inputs:
        if each.spec.optional and not _has(input_data, each.path):
            continue
        value = "".join(("input_data", *(f"[{python_literal(name)}]" for name in each.path)))
        datatype = each.spec.datatype
        yield python_literal(each.name), datatype, _DTYPES[datatype], value


def _has(value: object, path: Sequence[str]) -> bool:
    for name in path:
        if not isinstance(value, dict) or name not in value:
            return False
        value = value[name]
    return True
