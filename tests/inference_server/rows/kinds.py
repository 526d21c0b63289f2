"""Models as people have them, of each kind that docs/models.md lists."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from skl2onnx import to_onnx
from skl2onnx.common.data_types import StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingRegressor, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

_RANDOM = np.random.default_rng(7)
_TABLE = _RANDOM.normal(size=(60, 4)).astype("f4")
_CLASSES = (_TABLE[:, 0] > 0).astype(int) + (_TABLE[:, 1] > 1)


def _scikit_learn(model: object, target: np.ndarray) -> ModelProto:
    model.fit(_TABLE, target)  # type: ignore[attr-defined]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found: ModelProto = to_onnx(model, _TABLE[:1], target_opset=17)
    return found


def linear() -> ModelProto:
    """A linear regression."""
    return _scikit_learn(LinearRegression(), _TABLE.sum(axis=1))


def logistic() -> ModelProto:
    """Scaling and a logistic regression, with a map of probabilities."""
    return _scikit_learn(make_pipeline(StandardScaler(), LogisticRegression()), _CLASSES)


def tree() -> ModelProto:
    """A decision tree."""
    return _scikit_learn(DecisionTreeClassifier(max_depth=3), _CLASSES)


def forest() -> ModelProto:
    """A random forest."""
    return _scikit_learn(RandomForestClassifier(n_estimators=5, max_depth=3), _CLASSES)


def boosting() -> ModelProto:
    """Boosted trees for regression."""
    return _scikit_learn(GradientBoostingRegressor(n_estimators=5), _TABLE.sum(axis=1))


def support_vectors() -> ModelProto:
    """A support vector machine."""
    return _scikit_learn(SVC(), _CLASSES)


def texts() -> ModelProto:
    """A pipeline with categories as texts beside each other."""
    columns = np.array([["red", "s"], ["blue", "m"], ["red", "l"], ["green", "s"]] * 5)
    encoder = ColumnTransformer([("codes", OneHotEncoder(handle_unknown="ignore"), [0, 1])])
    model = make_pipeline(encoder, LogisticRegression())
    model.fit(columns, np.arange(len(columns)) % 2)
    types = [("texts", StringTensorType([None, 2]))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found: ModelProto = to_onnx(model, initial_types=types, target_opset=17)
    return found


Weights = Mapping[str, np.ndarray]


def _model(
    nodes: Sequence[NodeProto], inputs: Mapping[str, Sequence[int | str]], weights: Weights
) -> ModelProto:
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n, shape in inputs.items()],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _random(*shape: int) -> np.ndarray:
    return _RANDOM.normal(size=shape).astype("f4") / 4


def convolutional() -> ModelProto:
    """Convolutions with a residual connection, pools and two dense layers, as PyTorch exports."""
    node = helper.make_node
    nodes = [
        node("Conv", ["x", "w1", "b1"], ["c1"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("BatchNormalization", ["c1", "one", "zero", "zero", "one"], ["n1"]),
        node("Relu", ["n1"], ["r1"]),
        node("Conv", ["r1", "w2"], ["c2"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("Add", ["c2", "r1"], ["sum"]),
        node("MaxPool", ["sum"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Reshape", ["p", "flat"], ["f"]),
        node("Gemm", ["f", "w3", "b3"], ["d"], transB=1),
        node("Relu", ["d"], ["r2"]),
        node("MatMul", ["r2", "w4"], ["logits"]),
        node("Softmax", ["logits"], ["y"], axis=1),
    ]
    weights = {
        "w1": _random(6, 3, 3, 3),
        "b1": _random(6),
        "one": np.ones(6, "f4"),
        "zero": np.zeros(6, "f4"),
        "w2": _random(6, 6, 3, 3),
        "flat": np.array([-1, 6 * 4 * 4], "i8"),
        "w3": _random(16, 6 * 4 * 4),
        "b3": _random(16),
        "w4": _random(16, 5),
    }
    return _model(nodes, {"x": ("N", 3, 8, 8)}, weights)


def transformer() -> ModelProto:
    """A layer of a transformer: heads are split off and joined by the sizes of the input."""
    node, heads, width = helper.make_node, 2, 8
    nodes = [
        node("Shape", ["x"], ["shape"]),
        node("Gather", ["shape", "first"], ["rows"], axis=0),
        node("Gather", ["shape", "second"], ["steps"], axis=0),
        node("Unsqueeze", ["rows", "axis"], ["rows1"]),
        node("Unsqueeze", ["steps", "axis"], ["steps1"]),
        node("Concat", ["rows1", "steps1", "heads", "each"], ["split"], axis=0),
        node("Concat", ["rows1", "steps1", "width"], ["joined"], axis=0),
    ]
    for name in "qkv":
        nodes += [
            node("MatMul", ["x", f"w{name}"], [f"{name}0"]),
            node("Reshape", [f"{name}0", "split"], [f"{name}1"]),
            node("Transpose", [f"{name}1"], [name], perm=[0, 2, 1, 3]),
        ]
    nodes += [
        node("Transpose", ["k"], ["kt"], perm=[0, 1, 3, 2]),
        node("MatMul", ["q", "kt"], ["s0"]),
        node("Div", ["s0", "root"], ["s1"]),
        node("Unsqueeze", ["mask", "between"], ["m1"]),
        node("Sub", ["one", "m1"], ["m2"]),
        node("Mul", ["m2", "far"], ["m3"]),
        node("Add", ["s1", "m3"], ["s2"]),
        node("Softmax", ["s2"], ["a"], axis=-1),
        node("MatMul", ["a", "v"], ["o0"]),
        node("Transpose", ["o0"], ["o1"], perm=[0, 2, 1, 3]),
        node("Reshape", ["o1", "joined"], ["o2"]),
        node("MatMul", ["o2", "wo"], ["o3"]),
        node("Add", ["o3", "x"], ["o4"]),
        node("LayerNormalization", ["o4", "scale", "bias"], ["o5"], axis=-1),
        node("Gather", ["o5", "first"], ["y"], axis=1),
    ]
    weights: dict[str, np.ndarray] = {f"w{name}": _random(width, width) for name in "qkvo"}
    weights |= {
        "first": np.array(0, "i8"),
        "second": np.array(1, "i8"),
        "axis": np.array([0], "i8"),
        "between": np.array([1, 2], "i8"),
        "heads": np.array([heads], "i8"),
        "each": np.array([width // heads], "i8"),
        "width": np.array([width], "i8"),
        "root": np.float32(2),
        "one": np.float32(1),
        "far": np.float32(-1e4),
        "scale": np.ones(width, "f4"),
        "bias": np.zeros(width, "f4"),
    }
    return _model(nodes, {"x": ("N", "steps", width), "mask": ("N", "steps")}, weights)


def _masked(read: Sequence[NodeProto]) -> ModelProto:
    """Return attention in which `read` reads a mask by the numbers of rows and places."""
    node = helper.make_node
    nodes = [
        node("Cast", ["mask"], ["kept"], to=TensorProto.BOOL),
        node("Shape", ["mask"], ["sizes"]),
        node("Gather", ["sizes", "zero"], ["count"]),
        node("Gather", ["sizes", "one"], ["steps"]),
        node("Gather", ["sizes", "second"], ["steps1"]),
        node("Range", ["zero", "count", "one"], ["i"]),
        node("Range", ["zero", "steps", "one"], ["j"]),
        node("Unsqueeze", ["i", "after"], ["row"]),
        node("Unsqueeze", ["j", "before"], ["place"]),
        *read,
        node("Transpose", ["x"], ["turned"], perm=[0, 2, 1]),
        node("MatMul", ["x", "turned"], ["scores"]),
        node("Where", ["read", "scores", "far"], ["seen"]),
        node("Softmax", ["seen"], ["weights"], axis=-1),
        node("MatMul", ["weights", "x"], ["y"]),
    ]
    weights = {
        "zero": np.array(0, "i8"),
        "one": np.array(1, "i8"),
        "second": np.array([1], "i8"),
        "last": np.array([-1], "i8"),
        "after": np.array([1, 2], "i8"),
        "before": np.array([0, 1], "i8"),
        "far": np.float32(-1e4),
    }
    return _model(nodes, {"x": ("N", "steps", 4), "mask": ("N", "steps")}, weights)


def masked_by_pairs() -> ModelProto:
    """A mask that is read at [i, j], as PyTorch's newer exporter writes Hugging Face's."""
    node = helper.make_node
    return _masked(
        [
            node("Max", ["row", "place"], ["both"]),
            node("Shape", ["both"], ["wide"]),
            node("Expand", ["row", "wide"], ["rows"]),
            node("Expand", ["place", "wide"], ["places"]),
            node("Unsqueeze", ["rows", "last"], ["rows1"]),
            node("Unsqueeze", ["places", "last"], ["places1"]),
            node("Concat", ["rows1", "places1"], ["pairs"], axis=-1),
            node("GatherND", ["kept", "pairs"], ["read"]),
        ]
    )


def masked_by_list() -> ModelProto:
    """A mask that is read as one list at i * steps + j, as its older exporter writes them."""
    node = helper.make_node
    return _masked(
        [
            node("Mul", ["row", "steps1"], ["begin"]),
            node("Add", ["begin", "place"], ["at"]),
            node("Flatten", ["kept"], ["list1"], axis=2),
            node("Squeeze", ["list1", "second"], ["list"]),
            node("Gather", ["list", "at"], ["read"]),
        ]
    )


def recurrent() -> ModelProto:
    """An LSTM over [N, steps, features], with its steps first inside."""
    node = helper.make_node
    nodes = [
        node("Transpose", ["x"], ["steps"], perm=[1, 0, 2]),
        node("LSTM", ["steps", "w", "r", "b"], ["", "last"], hidden_size=4),
        node("Squeeze", ["last", "axis"], ["h"]),
        node("Gemm", ["h", "w2"], ["y"]),
    ]
    weights = {
        "w": _random(1, 16, 3),
        "r": _random(1, 16, 4),
        "b": _random(1, 32),
        "axis": np.array([0], "i8"),
        "w2": _random(4, 2),
    }
    return _model(nodes, {"x": ("N", "steps", 3)}, weights)


class _Samples(CalibrationDataReader):  # type: ignore[misc] # published without types
    """Three pictures."""

    def __init__(self) -> None:
        self._left = [{"x": _random(2, 3, 8, 8)} for _ in range(3)]

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Return the next one."""
        return self._left.pop() if self._left else None


def _quantised(folder: Path, quantise: Callable[[Path, Path], None]) -> ModelProto:
    source, target = folder / "float.onnx", folder / "int8.onnx"
    onnx.save(convolutional(), source)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantise(source, target)
    return onnx.load(target)


def static_qdq(folder: Path) -> ModelProto:
    """The convolutional one as int8 with scales in the model, between float operators."""
    return _quantised(
        folder,
        lambda source, target: quantize_static(
            source, target, _Samples(), quant_format=QuantFormat.QDQ
        ),
    )


def static_operators(folder: Path) -> ModelProto:
    """The same with operators on integers."""
    return _quantised(
        folder,
        lambda source, target: quantize_static(
            source, target, _Samples(), quant_format=QuantFormat.QOperator
        ),
    )


def dynamic(folder: Path) -> ModelProto:
    """The same with scales that are computed from what is sent."""
    return _quantised(
        folder,
        lambda source, target: quantize_dynamic(source, target, weight_type=QuantType.QUInt8),
    )
