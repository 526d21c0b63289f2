"""The datatypes of the Open Inference Protocol and their numpy dtypes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import ml_dtypes
import numpy as np

from protos.errors import TensorError


@dataclass(frozen=True, slots=True, kw_only=True)
class Datatype:
    """One datatype of the protocol."""

    name: str
    dtype: np.dtype
    """BYTES elements are Python `bytes` in an object array."""
    size: int
    """Bytes of a raw element; 0 for BYTES: a 4-byte length and that many bytes."""
    contents: str | None
    """The field of InferTensorContents for typed elements; None: raw only."""

    @property
    def is_native_number(self) -> bool:
        """Whether numpy and orjson have this number type: any bytes are valid elements."""
        return self.dtype.kind in "iuf"


def _datatype(name: str, dtype: object, contents: str | None) -> Datatype:
    kind = np.dtype(dtype)  # type: ignore[call-overload]
    size = 0 if kind.hasobject else kind.itemsize
    return Datatype(name=name, dtype=kind, size=size, contents=contents)


DATATYPES: Mapping[str, Datatype] = {
    datatype.name: datatype
    for datatype in (
        _datatype("BOOL", np.bool_, "bool_contents"),
        _datatype("UINT8", np.uint8, "uint_contents"),
        _datatype("UINT16", "<u2", "uint_contents"),
        _datatype("UINT32", "<u4", "uint_contents"),
        _datatype("UINT64", "<u8", "uint64_contents"),
        _datatype("INT8", np.int8, "int_contents"),
        _datatype("INT16", "<i2", "int_contents"),
        _datatype("INT32", "<i4", "int_contents"),
        _datatype("INT64", "<i8", "int64_contents"),
        _datatype("FP16", "<f2", None),
        _datatype("FP32", "<f4", "fp32_contents"),
        _datatype("FP64", "<f8", "fp64_contents"),
        _datatype("BF16", ml_dtypes.bfloat16, None),
        _datatype("BYTES", object, "bytes_contents"),
    )
}


def get_datatype(name: str, *, tensor: str) -> Datatype:
    """Return the datatype called `name`; raise TensorError if there is none."""
    try:
        return DATATYPES[name]
    except KeyError:
        known = ", ".join(DATATYPES)
        message = f"tensor '{tensor}': unknown datatype '{name}', expected one of {known}"
        raise TensorError(message) from None
