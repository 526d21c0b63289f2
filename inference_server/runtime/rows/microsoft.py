"""Operators of ONNX Runtime's own set, which optimised and quantised models have."""

from __future__ import annotations

from collections.abc import Mapping

from inference_server.runtime.rows.broadcasting import broadcast, like_first
from inference_server.runtime.rows.nodes import Node, Rule
from inference_server.runtime.rows.products import fused_matrix_product
from inference_server.runtime.rows.quantizing import MICROSOFT_RULES
from inference_server.runtime.rows.reducing import before
from inference_server.runtime.rows.refusal import MixesRowsError
from inference_server.runtime.rows.selecting import no_sizes, same_for_all
from inference_server.runtime.rows.tensors import Tensor, tensor

_SKIP_RANK = 3


def skip_layer_normalization(node: Node) -> Tensor:
    """`SkipLayerNormalization`: of the sum of its first two inputs, along the last axis."""
    value, skip = node.input(0), node.input(1)
    no_sizes(value, skip)
    same_for_all(*node.inputs[2:])
    if value.rank != _SKIP_RANK or value.rows != skip.rows or node.outputs > 1:
        raise MixesRowsError("its inputs or outputs are not of the form that is followed")
    before(value, value.rank - 1)
    return tensor(broadcast([value, skip]).known_shape, value.rows)


RULES: Mapping[str, Rule] = {
    **dict.fromkeys(("Gelu", "FastGelu", "QuickGelu", "BiasGelu"), like_first),
    "FusedMatMul": fused_matrix_product,
    "SkipLayerNormalization": skip_layer_normalization,
    **MICROSOFT_RULES,
}
