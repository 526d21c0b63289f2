"""Whether the shapes of a model's inputs bound the work of a run, whatever the inputs' values are.

Where they do not, a run that was quick a thousand times may be endless the next time.
"""

from __future__ import annotations

from collections.abc import Mapping

from onnx import AttributeProto, GraphProto, ModelProto, NodeProto

_SIZES: Mapping[str, tuple[int, ...]] = {
    "AffineGrid": (1,),
    "BlackmanWindow": (0,),
    "CenterCropPad": (1,),
    "Col2Im": (1, 2),
    "ConstantOfShape": (0,),
    "DFT": (1,),
    "Expand": (1,),
    "HammingWindow": (0,),
    "HannWindow": (0,),
    "MaxUnpool": (2,),
    "MelWeightMatrix": (0, 1),
    "OneHot": (1,),
    "Pad": (1,),
    "Range": (0, 1, 2),
    "Resize": (2, 3),
    "STFT": (1, 3),
    "Tile": (1,),
    "Upsample": (1,),
}
"""Operator → positions of the inputs whose values decide how large its output is."""
_SHAPE_ONLY = frozenset({"Shape", "Size"})
"""Their outputs depend on the shape of their input, not on its values."""
_SUBGRAPHS = frozenset({AttributeProto.GRAPH, AttributeProto.GRAPHS})


def bounded_by_shapes(model: ModelProto) -> bool:
    """Whether no operator of `model` does more work than the shapes of its inputs allow for.

    False for any control flow (an operator with a subgraph: Loop, Scan, If and the like), for
    functions of the model's own, and where the size of a tensor is computed from input values.
    """
    return not model.functions and _is_bounded(model.graph)


def _is_bounded(graph: GraphProto) -> bool:
    chosen_by_caller = {value.name for value in graph.input}
    for node in graph.node:  # sorted: a value is produced before it is used
        if any(attribute.type in _SUBGRAPHS for attribute in node.attribute):
            return False
        if not chosen_by_caller.isdisjoint(_size_inputs(node)):
            return False
        if node.op_type not in _SHAPE_ONLY and not chosen_by_caller.isdisjoint(node.input):
            chosen_by_caller.update(node.output)
    return True


def _size_inputs(node: NodeProto) -> list[str]:
    positions = _SIZES.get(node.op_type, ())
    return [node.input[position] for position in positions if position < len(node.input)]
