"""The classes of probabilities that a model returns as maps, as scikit-learn's exporter does.

The operator ZipMap turns a tensor [N, classes] into a sequence of N maps, class → probability.
"""

from __future__ import annotations

from onnx import ModelProto, NodeProto

from model_store.tensor_spec import ClassLabels

_DOMAIN = "ai.onnx.ml"
_MAX_CLASSES = 10_000
"""The labels of more are not kept in manifests: such an output is not served."""


def class_labels(model: ModelProto) -> dict[str, ClassLabels]:
    """Return the classes of each value of `model` that ZipMap computes, in the tensor's order.

    Raises:
        UnicodeDecodeError: a class is not valid UTF-8.
    """
    found: dict[str, ClassLabels] = {}
    for node in model.graph.node:  # sorted: a value is produced before it is used
        if node.op_type == "ZipMap" and node.domain == _DOMAIN:
            labels = _labels(node)
            if 0 < len(labels) <= _MAX_CLASSES:
                found[node.output[0]] = labels
        elif node.op_type == "Identity" and node.input[0] in found:
            found[node.output[0]] = found[node.input[0]]
    return found


def _labels(node: NodeProto) -> ClassLabels:
    for attribute in node.attribute:
        if attribute.name == "classlabels_int64s" and attribute.ints:
            return tuple(attribute.ints)
        if attribute.name == "classlabels_strings" and attribute.strings:
            return tuple(label.decode() for label in attribute.strings)
    return ()
