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
        columns, shape = each.spec.columns, each.spec.shape
        if columns is not None and shape is not None and _names_columns(input_data, each):
            value = _in_column_order(value, python_literal(list(columns)), len(shape))
        datatype = each.spec.datatype
        yield python_literal(each.name), datatype, _DTYPES[datatype], value


def _has(value: object, path: Sequence[str]) -> bool:
    for name in path:
        if not isinstance(value, dict) or name not in value:
            return False
        value = value[name]
    return True


def _names_columns(input_data: Mapping[str, Any], of: GrpcInput) -> bool:
    """Whether the rows of a tensor are objects."""
    value: Any = input_data
    for name in of.path:
        value = value[name]
    while isinstance(value, list) and value:
        value = value[0]
    return isinstance(value, dict)


def _in_column_order(value: str, columns: str, rank: int) -> str:
    """Return the expression of lists in place of the objects in `value`."""
    if rank == 1:
        return f"[{value}[name] for name in {columns}]"
    row = f"row_{rank}"
    return f"[{_in_column_order(row, columns, rank - 1)} for {row} in {value}]"
