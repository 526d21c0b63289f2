"""Small ONNX models, built on the spot: each function writes one to `path` and returns `path`.

In shapes a string is a dynamic dimension, and None in place of a shape means any rank.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

Shape = Sequence[int | str] | None

_SAMPLE = 20
"""Steps that tell how long a step takes on this machine."""

ELEMENT_TYPES: Mapping[str, int] = {
    "BOOL": TensorProto.BOOL,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "FP16": TensorProto.FLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BF16": TensorProto.BFLOAT16,
    "BYTES": TensorProto.STRING,
}


def identity(path: Path, datatype: str = "FP32", shape: Shape = ("N", 3)) -> Path:
    """`y` is `x`."""
    nodes = [helper.make_node("Identity", ["x"], ["y"])]
    return _save(path, nodes, [_tensor("x", datatype, shape)], [_tensor("y", datatype, shape)])


def adds(path: Path, amount: float) -> Path:
    """`y` = `x` + `amount`, FP32 [N]."""
    nodes = [helper.make_node("Add", ["x", "amount"], ["y"])]
    inputs, outputs = [_tensor("x", "FP32", ("N",))], [_tensor("y", "FP32", ("N",))]
    return _save(path, nodes, inputs, outputs, {"amount": np.array([amount], "f4")})


def identities(path: Path, datatypes: Sequence[str], shape: Shape = ("N", 3)) -> Path:
    """For each datatype `<datatype>_out` is `<datatype>_in`, as in FP32_in."""
    nodes = [helper.make_node("Identity", [f"{name}_in"], [f"{name}_out"]) for name in datatypes]
    inputs = [_tensor(f"{name}_in", name, shape) for name in datatypes]
    outputs = [_tensor(f"{name}_out", name, shape) for name in datatypes]
    return _save(path, nodes, inputs, outputs)


def mlp(path: Path) -> Path:
    """`x` FP32 [N, 4] → `y` FP32 [N, 3], probabilities; the weights are always the same."""
    random = np.random.default_rng(7)
    nodes = [
        helper.make_node("Gemm", ["x", "w1", "b1"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Gemm", ["r", "w2", "b2"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["y"], axis=-1),
    ]
    shapes = {"w1": (4, 8), "b1": (8,), "w2": (8, 3), "b2": (3,)}
    weights = {name: random.normal(size=shape).astype("f4") for name, shape in shapes.items()}
    inputs, outputs = [_tensor("x", "FP32", ("N", 4))], [_tensor("y", "FP32", ("N", 3))]
    return _save(path, nodes, inputs, outputs, weights)


def mixed(path: Path) -> Path:
    """Three datatypes: `doubled` = 2 · `number`, `next` = `count` + 1, `echo` = `text`.

    FP32 [N, 2], INT64 [N] and BYTES [N], in and out.
    """
    nodes = [
        helper.make_node("Add", ["number", "number"], ["doubled"]),
        helper.make_node("Add", ["count", "one"], ["next"]),
        helper.make_node("Identity", ["text"], ["echo"]),
    ]
    inputs = [
        _tensor("number", "FP32", ("N", 2)),
        _tensor("count", "INT64", ("N",)),
        _tensor("text", "BYTES", ("N",)),
    ]
    outputs = [
        _tensor("doubled", "FP32", ("N", 2)),
        _tensor("next", "INT64", ("N",)),
        _tensor("echo", "BYTES", ("N",)),
    ]
    return _save(path, nodes, inputs, outputs, {"one": np.array([1], "i8")})


def channel_means(path: Path) -> Path:
    """`mean` FP32 [1, 3] is the mean of each channel of `picture` FP32 [1, 3, 8, 8]."""
    nodes = [helper.make_node("ReduceMean", ["picture"], ["mean"], axes=[2, 3], keepdims=0)]
    inputs = [_tensor("picture", "FP32", (1, 3, 8, 8))]
    return _save(path, nodes, inputs, [_tensor("mean", "FP32", (1, 3))])


def masked(path: Path) -> Path:
    """Write y = x * mask, whose sizes have the same names."""
    tensors = [_tensor(name, "FP32", ("N", "S")) for name in ("x", "mask", "y")]
    node = helper.make_node("Mul", ["x", "mask"], ["y"])
    return _save(path, [node], tensors[:2], tensors[2:])


def optional_input(path: Path) -> Path:
    """`y` = `x` · `scale`, FP32 [N]; `scale`, FP32 [1], is 2 where the caller leaves it out."""
    nodes = [helper.make_node("Mul", ["x", "scale"], ["y"])]
    inputs = [_tensor("x", "FP32", ("N",)), _tensor("scale", "FP32", (1,))]
    scale = {"scale": np.array([2], "f4")}
    return _save(path, nodes, inputs, [_tensor("y", "FP32", ("N",))], scale)


def optional_type(path: Path) -> Path:
    """`given` BOOL [] says whether `x`, of the type optional(tensor(float)), was given."""
    inner = helper.make_tensor_type_proto(TensorProto.FLOAT, ["N"])
    x = helper.make_value_info("x", helper.make_optional_type_proto(inner))
    nodes = [helper.make_node("OptionalHasElement", ["x"], ["given"])]
    return _save(path, nodes, [x], [_tensor("given", "BOOL", ())], opset=18)


def narrowing(path: Path) -> Path:
    """`half` FP16 and `same` FP32 are `x` FP32 [N]."""
    nodes = [
        helper.make_node("Cast", ["x"], ["half"], to=TensorProto.FLOAT16),
        helper.make_node("Identity", ["x"], ["same"]),
    ]
    outputs = [_tensor("half", "FP16", ("N",)), _tensor("same", "FP32", ("N",))]
    return _save(path, nodes, [_tensor("x", "FP32", ("N",))], outputs)


def scalar(path: Path) -> Path:
    """`y` = 2 · `x`, FP32 without dimensions."""
    nodes = [helper.make_node("Add", ["x", "x"], ["y"])]
    return _save(path, nodes, [_tensor("x", "FP32", ())], [_tensor("y", "FP32", ())])


def sequence_input(path: Path) -> Path:
    """`y` FP32 joins the tensors of `x`, a sequence, which the protocol cannot carry."""
    inner = helper.make_tensor_type_proto(TensorProto.FLOAT, ["N"])
    x = helper.make_value_info("x", helper.make_sequence_type_proto(inner))
    nodes = [helper.make_node("ConcatFromSequence", ["x"], ["y"], axis=0)]
    return _save(path, nodes, [x], [_tensor("y", "FP32", ("M",))])


def map_output(path: Path, labels: Sequence[int] | Sequence[str] = (0, 1, 2)) -> Path:
    """As scikit-learn's ZipMap: `x` FP32 [N, 3] → `best` INT64 [N], `probabilities` seq(map).

    `probabilities` has the values of `x`, by label.
    """
    is_text = isinstance(labels[0], str)
    key_type = TensorProto.STRING if is_text else TensorProto.INT64
    maps = helper.make_map_type_proto(
        key_type, helper.make_tensor_type_proto(TensorProto.FLOAT, [])
    )
    probabilities = helper.make_value_info("probabilities", helper.make_sequence_type_proto(maps))
    nodes = [
        helper.make_node("ArgMax", ["x"], ["best"], axis=1, keepdims=0),
        helper.make_node(
            "ZipMap",
            ["x"],
            ["probabilities"],
            domain="ai.onnx.ml",
            **{"classlabels_strings" if is_text else "classlabels_int64s": list(labels)},
        ),
    ]
    outputs = [_tensor("best", "INT64", ("N",)), probabilities]
    return _save(path, nodes, [_tensor("x", "FP32", ("N", 3))], outputs)


def external_data(path: Path, location: str = "weights.bin", *, write: bool = True) -> Path:
    """`y` = `x` + (0, 1, … 299), FP32 [N, 300]; the weights lie at `location` beside the model.

    `location` goes into the model as it is; `write=False` leaves the file itself out.
    """
    weights = np.arange(300, dtype="f4")
    if write:
        beside = path.parent / location
        beside.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(weights.tobytes())
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=weights.shape)
    tensor.data_location = TensorProto.EXTERNAL
    entries = {"location": location, "offset": "0", "length": str(weights.nbytes)}
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    nodes = [helper.make_node("Add", ["x", "w"], ["y"])]
    inputs, outputs = [_tensor("x", "FP32", ("N", 300))], [_tensor("y", "FP32", ("N", 300))]
    return _save(path, nodes, inputs, outputs, [tensor])


def float8_output(path: Path, *, alone: bool) -> Path:
    """`x` FP32 [N] → `small`, of a datatype that the protocol cannot carry; else `y` = `x`, too."""
    nodes = [helper.make_node("Cast", ["x"], ["small"], to=TensorProto.FLOAT8E4M3FN)]
    small = helper.make_tensor_value_info("small", TensorProto.FLOAT8E4M3FN, ["N"])
    outputs = [small]
    if not alone:
        nodes.append(helper.make_node("Identity", ["x"], ["y"]))
        outputs.append(_tensor("y", "FP32", ("N",)))
    return _save(path, nodes, [_tensor("x", "FP32", ("N",))], outputs, opset=21)


def over_rows(path: Path) -> Path:
    """`y` = softmax of `x`, FP32 [N, 3], over N: what looks like a batch axis is none."""
    nodes = [helper.make_node("Softmax", ["x"], ["y"], axis=0)]
    shape: Shape = ("N", 3)
    return _save(path, nodes, [_tensor("x", "FP32", shape)], [_tensor("y", "FP32", shape)])


def copies_rows(path: Path) -> Path:
    """`y` = `x`, FP32 [N, 2], but the sum of all rows where a value is 1,000 or more."""
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["largest"], keepdims=0),
        helper.make_node("GreaterOrEqual", ["largest", "limit"], ["copies"]),
        helper.make_node("ReduceSum", ["x", "rows"], ["sum"], keepdims=1),
        helper.make_node("Where", ["copies", "sum", "x"], ["y"]),
    ]
    shape: Shape = ("N", 2)
    weights = {"limit": np.float32(1000), "rows": np.array([0], "i8")}
    return _save(path, nodes, [_tensor("x", "FP32", shape)], [_tensor("y", "FP32", shape)], weights)


def positive_rows(path: Path) -> Path:
    """`y` has the positive ones of `x`, FP32 [N]: fewer rows, depending on their values."""
    nodes = [
        helper.make_node("Greater", ["x", "zero"], ["positive"]),
        helper.make_node("Compress", ["x", "positive"], ["y"], axis=0),
    ]
    weights = {"zero": np.float32(0)}
    return _save(
        path, nodes, [_tensor("x", "FP32", ("N",))], [_tensor("y", "FP32", ("M",))], weights
    )


def scaled_over_rows(path: Path) -> Path:
    """`y` FP32 is `x` INT64 [N, 2], with the precision of one scale for the whole tensor."""
    nodes = [
        helper.make_node("Cast", ["x"], ["wide"], to=TensorProto.FLOAT),
        helper.make_node("DynamicQuantizeLinear", ["wide"], ["q", "scale", "zero"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"]),
    ]
    shape: Shape = ("N", 2)
    return _save(path, nodes, [_tensor("x", "INT64", shape)], [_tensor("y", "FP32", shape)])


def optional_scale(path: Path) -> Path:
    """`y` = `x` · `scale`; `x` FP32 [N, 2], `scale` FP32 [K], K is 1 or 2, 1 where left out."""
    nodes = [helper.make_node("Mul", ["x", "scale"], ["y"])]
    inputs = [_tensor("x", "FP32", ("N", 2)), _tensor("scale", "FP32", ("K",))]
    scale = {"scale": np.array([1], "f4")}
    return _save(path, nodes, inputs, [_tensor("y", "FP32", ("N", 2))], scale)


def nan_output(path: Path) -> Path:
    """`log` and `reciprocal` of `x`, FP32 [N]: NaN for a negative, -inf and inf for 0."""
    nodes = [
        helper.make_node("Log", ["x"], ["log"]),
        helper.make_node("Reciprocal", ["x"], ["reciprocal"]),
    ]
    outputs = [_tensor("log", "FP32", ("N",)), _tensor("reciprocal", "FP32", ("N",))]
    return _save(path, nodes, [_tensor("x", "FP32", ("N",))], outputs)


def fails_at_run(path: Path) -> Path:
    """`y` FP32 [N] = (10, 20, 30) at the places `index` INT64 [N]: others than -3 to 2 fail."""
    nodes = [helper.make_node("Gather", ["table", "index"], ["y"])]
    table = {"table": np.array([10, 20, 30], "f4")}
    inputs, outputs = [_tensor("index", "INT64", ("N",))], [_tensor("y", "FP32", ("N",))]
    return _save(path, nodes, inputs, outputs, table)


def picky(path: Path) -> Path:
    """`y` FP32 [2, M] has the elements of `x` FP32 [N] in two rows: an odd N fails."""
    nodes = [helper.make_node("Reshape", ["x", "rows"], ["y"])]
    rows = {"rows": np.array([2, -1], "i8")}
    inputs, outputs = [_tensor("x", "FP32", ("N",))], [_tensor("y", "FP32", (2, "M"))]
    return _save(path, nodes, inputs, outputs, rows)


def fill(path: Path) -> Path:
    """`y` FP32 of the shape that `shape`, INT64 [R], asks for, however big; it is all ones."""
    one = helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])
    nodes = [helper.make_node("ConstantOfShape", ["shape"], ["y"], value=one)]
    return _save(path, nodes, [_tensor("shape", "INT64", ("R",))], [_tensor("y", "FP32", None)])


def normalizer(path: Path, locale: str = "en_US.UTF-8") -> Path:
    """`y` is `x`, BYTES [N], in lower case; loads where `locale` exists, as "C" always does."""
    nodes = [
        helper.make_node(
            "StringNormalizer", ["x"], ["y"], case_change_action="LOWER", locale=locale
        )
    ]
    return _save(path, nodes, [_tensor("x", "BYTES", ("N",))], [_tensor("y", "BYTES", ("M",))])


def unknown_operator(path: Path) -> Path:
    """A valid file that no stock runtime can load: its operator is not standard."""
    nodes = [helper.make_node("Frobnicate", ["x"], ["y"], domain="com.example")]
    inputs, outputs = [_tensor("x", "FP32", ("N",))], [_tensor("y", "FP32", ("N",))]
    return _save(path, nodes, inputs, outputs)


def recurrent(path: Path) -> Path:
    """`y` FP32 [1, N, 2] of `x` FP32 [S, N, 3]: with S = 0 ONNX Runtime ends its process."""
    nodes = [helper.make_node("GRU", ["x", "w", "r"], ["", "y"], hidden_size=2)]
    weights = {"w": np.ones((1, 6, 3), "f4"), "r": np.ones((1, 6, 2), "f4")}
    inputs, outputs = [_tensor("x", "FP32", ("S", "N", 3))], [_tensor("y", "FP32", (1, "N", 2))]
    return _save(path, nodes, inputs, outputs, weights)


def loop(path: Path, trips: int | None = None) -> Path:
    """`y` FP32 [N] is `x` after `trips` INT64 [] additions of 1; or so many, without that input."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Add", ["sum", "one"], ["next"]),
        ],
        "body",
        [_tensor("step", "INT64", ()), _tensor("go", "BOOL", ()), _tensor("sum", "FP32", None)],
        [_tensor("go_on", "BOOL", ()), _tensor("next", "FP32", None)],
        [numpy_helper.from_array(np.array(1, "f4"), "one")],
    )
    nodes = [helper.make_node("Loop", ["trips", "yes", "x"], ["y"], body=body)]
    inputs, weights = [_tensor("x", "FP32", ("N",))], {"yes": np.array(True)}
    if trips is None:
        inputs.append(_tensor("trips", "INT64", ()))
    else:
        weights["trips"] = np.array(trips, "i8")
    return _save(path, nodes, inputs, [_tensor("y", "FP32", ("N",))], weights)


def one_long_operator(path: Path) -> Path:
    """`count` INT64 [1] is `n`, INT64 []; with 200,000 one operator takes a minute, in a few MiB.

    It compares each of `n` disjoint boxes with each other.
    """
    nodes = [
        helper.make_node("Range", ["zero", "n", "one"], ["numbers"]),
        helper.make_node("Cast", ["numbers"], ["left"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["left", "half"], ["right"]),
        helper.make_node("Mul", ["left", "none"], ["bottom"]),
        helper.make_node("Add", ["bottom", "half"], ["top"]),
        helper.make_node("Unsqueeze", ["left", "last"], ["left_column"]),
        helper.make_node("Unsqueeze", ["right", "last"], ["right_column"]),
        helper.make_node("Unsqueeze", ["bottom", "last"], ["bottom_column"]),
        helper.make_node("Unsqueeze", ["top", "last"], ["top_column"]),
        helper.make_node(
            "Concat",
            ["bottom_column", "left_column", "top_column", "right_column"],
            ["corners"],
            axis=1,
        ),
        helper.make_node("Unsqueeze", ["corners", "first"], ["boxes"]),
        helper.make_node("Unsqueeze", ["top", "first_two"], ["scores"]),
        helper.make_node("Unsqueeze", ["n", "first"], ["limit"]),
        helper.make_node("NonMaxSuppression", ["boxes", "scores", "limit"], ["selected"]),
        helper.make_node("Shape", ["selected"], ["count"], start=0, end=1),
    ]
    weights = {
        "zero": np.array(0, "i8"),
        "one": np.array(1, "i8"),
        "half": np.array(0.5, "f4"),
        "none": np.array(0, "f4"),
        "first": np.array([0], "i8"),
        "last": np.array([1], "i8"),
        "first_two": np.array([0, 1], "i8"),
    }
    return _save(
        path, nodes, [_tensor("n", "INT64", ())], [_tensor("count", "INT64", (1,))], weights
    )


def heavy(path: Path, size: int) -> Path:
    """`y` = `x` + its weights, FP32 [`size` ÷ 4]: a file of a bit more than `size` bytes."""
    nodes = [helper.make_node("Add", ["x", "w"], ["y"])]
    shape = (size // 4,)
    inputs, outputs = [_tensor("x", "FP32", shape)], [_tensor("y", "FP32", shape)]
    return _save(path, nodes, inputs, outputs, {"w": np.ones(shape, "f4")})


def slow_to_load(path: Path, seconds: float) -> Path:
    """`y` is `x`, FP32 [N]; loading takes about `seconds` here, a run takes microseconds."""
    _folding(path, _SAMPLE)
    return _folding(path, _steps(seconds, _shortest(lambda: _session(path))))


def slow_to_run(path: Path, seconds: float) -> Path:
    """`y` is `x`, FP32 [N]; a run takes about `seconds` here, on one thread, whatever N is."""
    session = _session(_searching(path, _SAMPLE))
    sample = _shortest(lambda: session.run(None, {"x": np.zeros(1, "f4")}))
    return _searching(path, _steps(seconds, sample))


def _shortest(work: Callable[[], object]) -> float:
    """Return the seconds of the quickest of a few times: others may use the processor, too."""

    def seconds() -> float:
        began = time.perf_counter()
        work()
        return time.perf_counter() - began

    return min(seconds() for _ in range(5))


def _folding(path: Path, steps: int) -> Path:
    """Searches through a constant, which ONNX Runtime works out once, at load."""
    nodes = [helper.make_node("ConstantOfShape", ["size"], ["haystack"]), *_searches(steps)]
    return _save_slow(path, nodes)


def _searching(path: Path, steps: int) -> Path:
    """The same searches, through zeros that hang on `x`, so that every run works them out."""
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["total"], keepdims=0),
        helper.make_node("IsNaN", ["total"], ["never"]),
        helper.make_node("Cast", ["never"], ["zero"], to=TensorProto.FLOAT),
        helper.make_node("Expand", ["zero", "size"], ["haystack"]),
        *_searches(steps),
    ]
    return _save_slow(path, nodes)


def _searches(steps: int) -> list[NodeProto]:
    """Return `steps` searches, each for as many values (one) as the one before found at (zero).

    A search reads megabytes on one thread and leaves a few bytes, so that time grows and memory
    does not: what is folded at load stays in memory.
    """
    nodes = []
    for step in range(steps):
        found = [f"value{step}", f"place{step}"]
        nodes += [
            helper.make_node("TopK", ["haystack", f"count{step}"], found),
            helper.make_node("Add", [f"place{step}", "count0"], [f"count{step + 1}"]),
        ]
    last = helper.make_node("Cast", [f"place{steps - 1}"], ["shift"], to=TensorProto.FLOAT)
    return [*nodes, last, helper.make_node("Add", ["x", "shift"], ["y"])]


def _save_slow(path: Path, nodes: Sequence[NodeProto]) -> Path:
    constants = {"size": np.array([1 << 22], "i8"), "count0": np.array([1], "i8")}
    inputs, outputs = [_tensor("x", "FP32", ("N",))], [_tensor("y", "FP32", ("N",))]
    return _save(path, nodes, inputs, outputs, constants)


def _steps(seconds: float, sampled: float) -> int:
    """Return how many steps take `seconds` where `_SAMPLE` steps took `sampled` seconds."""
    return max(1, round(_SAMPLE * seconds / sampled))


def _session(path: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _tensor(name: str, datatype: str, shape: Shape) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, ELEMENT_TYPES[datatype], shape)


def _save(
    path: Path,
    nodes: Sequence[NodeProto],
    inputs: Sequence[ValueInfoProto],
    outputs: Sequence[ValueInfoProto],
    weights: Mapping[str, np.ndarray] | Sequence[TensorProto] = (),
    *,
    opset: int = 17,
) -> Path:
    if isinstance(weights, Mapping):
        weights = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, weights)
    opsets = [
        helper.make_opsetid("", opset),
        helper.make_opsetid("ai.onnx.ml", 3),
        helper.make_opsetid("com.example", 1),
    ]
    model = helper.make_model(graph, producer_name="slipstream-tests", opset_imports=opsets)
    model.ir_version = 8
    path.write_bytes(model.SerializeToString())
    return path
