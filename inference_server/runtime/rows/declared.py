"""Sizes that the author of a model declares, as numbers and by names: ONNX Runtime believes them.

It puts a number in place of what `Shape` would return, and takes two sizes of one name for equal:
then a `Reshape` to sizes of another tensor keeps its own, and a sum before LayerNormalization does
not broadcast. So each declared size must be one that the graph shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from onnx import TensorShapeProto, ValueInfoProto

from inference_server.runtime.rows.polynomials import ROWS, Polynomial, number, symbol
from inference_server.runtime.rows.refusal import MixesRowsError, Refused
from inference_server.runtime.rows.tensors import RowAxis, Tensor, tensor

Dimension = TensorShapeProto.Dimension


def inputs(values: Sequence[ValueInfoProto]) -> dict[str, Tensor]:
    """Return what is known of each input, whose rows are on its first axis.

    Sizes of one name are one symbol: calls share a run only if they are equal.

    Raises:
        MixesRowsError: an input has no axis for rows, or another axis has the name of one.
    """
    for value in values:
        _check_first(value)
    of_rows = {_dimensions(value)[0].dim_param for value in values} - {""}
    symbols: dict[str, Polynomial] = {}
    found = {}
    for value in values:
        shape = [symbol(ROWS)]
        for axis, size in enumerate(_dimensions(value)[1:], start=1):
            own = symbol(f"{value.name}.{axis}")
            if size.dim_param in of_rows:
                raise MixesRowsError(
                    f"axis {axis} of input '{value.name}' has the name '{size.dim_param}', which "
                    "is that of the number of rows"
                )
            if size.dim_value > 0:
                shape.append(number(size.dim_value))
            else:
                shape.append(symbols.setdefault(size.dim_param, own) if size.dim_param else own)
        found[value.name] = tensor(shape, RowAxis(0))
    return found


def _check_first(value: ValueInfoProto) -> None:
    title = f"input '{value.name}'"
    if not value.type.HasField("tensor_type") or not value.type.tensor_type.HasField("shape"):
        raise MixesRowsError(f"{title} is not a tensor with a declared rank")
    sizes = _dimensions(value)
    if not sizes:
        raise MixesRowsError(f"{title} has no axis for rows")
    if sizes[0].dim_value > 0:
        raise MixesRowsError(
            f"{title} has a fixed first size, {sizes[0].dim_value}, and so no axis for rows"
        )


def check(values: Iterable[tuple[ValueInfoProto, Tensor | Refused]]) -> None:
    """Compare what is declared of tensors with what is known of them.

    Raises:
        MixesRowsError: a size is declared that the graph does not show.
    """
    sizes: dict[str, Polynomial | None] = {}
    for value, known in values:
        declared = _dimensions(value)
        shape = known.shape if isinstance(known, Tensor) else None
        is_declared = value.type.tensor_type.HasField("shape")
        if is_declared and shape is not None and not _agree(declared, shape):
            raise MixesRowsError(
                f"tensor '{value.name}' is declared with sizes that the graph does not show"
            )
        for axis, size in enumerate(declared):
            name, shown = size.dim_param, shape[axis] if shape is not None else None
            if name in sizes and (shown is None or sizes[name] != shown):
                if isinstance(known, Refused):
                    raise MixesRowsError(known.reason)
                raise MixesRowsError(
                    f"it is not known that all sizes with the name '{name}' are equal: axis {axis} "
                    f"of tensor '{value.name}'"
                )
            if name:
                sizes[name] = shown


def _agree(declared: Sequence[Dimension], shape: Sequence[Polynomial]) -> bool:
    """Whether each size that is declared as a number is that of the tensor."""
    return len(declared) == len(shape) and all(
        not size.HasField("dim_value") or size.dim_value == shown.constant
        for size, shown in zip(declared, shape, strict=True)
    )


def _dimensions(value: ValueInfoProto) -> Sequence[Dimension]:
    return value.type.tensor_type.shape.dim
