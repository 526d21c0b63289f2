"""Small random ONNX graphs of the operators that the proof of independent rows has rules for.

A graph grows node by node. A node is kept only if ONNX Runtime runs it for 1 row and for 3, or in
some graphs for 3 and 4.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnxruntime as ort
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

Runs = dict[int, np.ndarray]
"""What a tensor is, by the number of rows."""

OPSETS = (11, 13, 17, 18, 21)
FEW, MANY = ROW_COUNTS = 1, 3
"""With which each node must run. In some graphs they stand for 3 and 4: a size can be N - 2."""
_IR_VERSION = 10
_MAX_ELEMENTS = 2000
_MAX_RANK = 5
_ATTEMPTS = 4
"""For each node of a graph."""
_AXES_ARE_INPUTS = 13
"""The version from which on axes of Squeeze, Unsqueeze and ReduceSum are inputs."""
_ALL_AXES_ARE_INPUTS = 18
_LETTERS = "abcdefgh"
_ROWS_NAME, _SIZE_NAMES = "rows", ("steps", "width")
"""Names of sizes that several tensors can have."""


class DoesNotRunError(Exception):
    """ONNX Runtime does not run a node, or there is no tensor that it could take."""


@dataclass(frozen=True)
class RandomGraph:
    """A model, and the sizes with which its nodes were tried.

    Attributes:
        model: every tensor but the inputs and constants is an output of it.
        dimensions: sizes of the axes after the first, by input.
        dynamic: name of each dynamic size, by `<input>.<axis>`; those of one name are equal.
        samples: rows that suit an input, where not all do.
    """

    model: ModelProto
    dimensions: Mapping[str, Sequence[int]]
    dynamic: Mapping[str, str] = field(default_factory=dict)
    samples: Mapping[str, np.ndarray] = field(default_factory=dict)


def options(level: ort.GraphOptimizationLevel) -> ort.SessionOptions:
    """Return options for sessions with one thread that print nothing."""
    made = ort.SessionOptions()
    made.graph_optimization_level = level
    made.intra_op_num_threads = made.inter_op_num_threads = 1
    made.log_severity_level = 4
    return made


def random_graph(seed: int) -> RandomGraph:
    """Return the graph of a seed."""
    return _Growing(np.random.default_rng(seed)).graph()


class _Growing:
    """A graph that grows, with the values of its tensors in runs with several numbers of rows."""

    def __init__(self, random: np.random.Generator) -> None:
        self.random = random
        self.opset = int(random.choice(OPSETS))
        self.runs: dict[str, Runs] = {}
        self.constants: dict[str, np.ndarray] = {}
        self.nodes: list[NodeProto] = []
        self._inputs: list[ValueInfoProto] = []
        self._dimensions: dict[str, Sequence[int]] = {}
        self._dynamic: dict[str, str] = {}
        self._named: dict[str, int] = {}
        self._options = options(ort.GraphOptimizationLevel.ORT_DISABLE_ALL)
        self._count = 0
        self._row_counts = (3, 4) if self.chance(0.3) else ROW_COUNTS
        for index in range(random.integers(1, 4)):
            self._add_input(f"x{index}", ids=index > 0 and self.chance(0.4))

    def graph(self) -> RandomGraph:
        """Grow to a random number of nodes."""
        size = int(self.random.integers(4, 13))
        makers = list(_MAKERS)
        for _ in range(size * _ATTEMPTS):
            if len(self.nodes) >= size:
                break
            try:
                makers[self.random.integers(len(makers))](self)
            except (DoesNotRunError, LookupError, ArithmeticError, ValueError):
                continue
        return RandomGraph(self._model(), self._dimensions, self._dynamic)

    def _model(self) -> ModelProto:
        outputs = [name for node in self.nodes for name in node.output if name]
        used = {name for node in self.nodes for name in node.input}
        constants = [
            numpy_helper.from_array(value, name)
            for name, value in self.constants.items()
            if name in used
        ]
        infos = [ValueInfoProto(name=name) for name in outputs]
        model = self._as_model(self.nodes, self._inputs, infos, constants)
        if self.chance(0.5):
            of_one_rank = [
                name for name in outputs if len({run.ndim for run in self.runs[name].values()}) == 1
            ]
            chosen = self.random.permutation(of_one_rank)[: self.below(4, 1)]
            model.graph.value_info.extend(self._declared(str(name)) for name in chosen)
        return model

    def _declared(self, name: str) -> ValueInfoProto:
        """Return what an author may say of a tensor: what is so, or seems to be in two runs."""
        few, many = (self.runs[name][rows] for rows in ROW_COUNTS)
        sizes: list[int | str | None] = []
        for pair in zip(few.shape, many.shape, strict=True):
            if pair == self._row_counts and self.chance(0.9):
                sizes.append(_ROWS_NAME)
            elif pair[0] == pair[1] and self.chance(0.8):
                sizes.append(pair[0])
            else:
                sizes.append(self.among([None, None, _ROWS_NAME, *_SIZE_NAMES, *self._named]))
        kind = helper.np_dtype_to_tensor_dtype(few.dtype)
        return helper.make_tensor_value_info(name, kind, sizes)

    def _as_model(
        self,
        nodes: Sequence[NodeProto],
        inputs: Sequence[ValueInfoProto],
        outputs: Sequence[ValueInfoProto],
        constants: Sequence[TensorProto],
    ) -> ModelProto:
        graph = helper.make_graph(nodes, "g", inputs, outputs, constants)
        opsets = [helper.make_opsetid("", self.opset), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)

    def _add_input(self, name: str, *, ids: bool) -> None:
        rank = int(self.random.integers(1, 3) if ids else self.random.integers(2, 5))
        sizes = [int(size) for size in self.random.integers(1, 5, rank - 1)]
        declared: list[int | str] = [_ROWS_NAME]
        for axis, size in enumerate(sizes, start=1):
            if not self.chance(0.25):
                declared.append(size)
                continue
            size_name = self.among([f"{name}.{axis}", *_SIZE_NAMES])
            sizes[axis - 1] = self._named.setdefault(size_name, size)
            declared.append(size_name)
            self._dynamic[f"{name}.{axis}"] = size_name
        kind = TensorProto.INT64 if ids else TensorProto.FLOAT
        self._inputs.append(helper.make_tensor_value_info(name, kind, declared))
        self._dimensions[name] = sizes
        for count, rows in zip(ROW_COUNTS, self._row_counts, strict=True):
            values = self.random.normal(size=(rows, *sizes)).astype("f4")
            values = self.random.integers(0, 2, (rows, *sizes)) if ids else values
            self.runs.setdefault(name, {})[count] = values

    # What makers of nodes choose from.

    def chance(self, share: float) -> bool:
        """Return True in this share of cases."""
        return bool(self.random.random() < share)

    def among(self, choices: Sequence[Any]) -> Any:
        """Return one of several things."""
        if not len(choices):
            raise DoesNotRunError
        return choices[int(self.random.integers(len(choices)))]

    def below(self, end: int, start: int = 0) -> int:
        """Return a number from `start`, below `end`."""
        return int(self.random.integers(start, end)) if end > start else start

    def tensor(self, kinds: str = "f", ranks: Sequence[int] = (1, 2, 3, 4, 5)) -> str:
        """Return a tensor whose data type is of one of these kinds of NumPy; rather a late one."""
        names = [
            name
            for name, runs in self.runs.items()
            if runs[FEW].dtype.kind in kinds and runs[FEW].ndim in ranks
        ]
        if not names:
            raise DoesNotRunError
        return names[max(self.below(len(names)), self.below(len(names)))]

    def shape(self, name: str) -> tuple[int, ...]:
        """Return its shape with 3 rows, or sometimes with 1."""
        return self.runs[name][FEW if self.chance(0.15) else MANY].shape

    def rank(self, name: str) -> int:
        """Return its rank."""
        return self.runs[name][FEW].ndim

    def axis(self, name: str) -> int:
        """Return an axis, sometimes counted from the end."""
        rank = self.rank(name)
        if not rank:
            raise DoesNotRunError
        return self.below(rank, -rank if self.chance(0.5) else 0)

    def axes(self, name: str) -> list[int]:
        """Return some of the axes."""
        rank = self.rank(name)
        return sorted(int(axis) for axis in self.random.permutation(rank)[: self.below(rank, 1)])

    def constant(self, value: Any, kind: str = "i8") -> str:
        """Return a new constant."""
        self._count += 1
        name = f"c{self._count}"
        self.constants[name] = np.asarray(value, kind)
        return name

    def weights(self, *shape: int) -> str:
        """Return a new constant of random numbers."""
        return self.constant(np.round(self.random.normal(size=shape), 2), "f4")

    def beside(self, name: str, kind: str = "f4") -> str:
        """Return a constant that could be broadcast with a tensor, along any of its axes."""
        sizes = [size if self.chance(0.5) else 1 for size in self.shape(name)]
        sizes = sizes[self.below(len(sizes) + 1) :]
        if self.chance(0.1):
            sizes = [2, *([1] * (self.rank(name) - len(sizes))), *sizes]
        values = self.random.integers(-2, 4, sizes)
        return self.constant(values, kind)

    def add(
        self, op: str, inputs: Sequence[str], outputs: int = 1, domain: str = "", **attributes: Any
    ) -> list[str]:
        """Add a node, if it runs, and return the names of its outputs."""
        names = [f"t{self._count + index + 1}" for index in range(outputs)]
        node = helper.make_node(op, inputs, names, domain=domain, **attributes)
        runs = self._tried(node)
        self._count += outputs
        self.nodes.append(node)
        for index, name in enumerate(names):
            self.runs[name] = {rows: found[index] for rows, found in runs.items()}
        return names

    def one(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output, if it runs, and return its name."""
        return self.add(op, inputs, **attributes)[0]

    def _tried(self, node: NodeProto) -> Mapping[int, list[np.ndarray]]:
        """Run a node by itself."""
        constants = [
            numpy_helper.from_array(self.constants[name], name)
            for name in dict.fromkeys(node.input)
            if name in self.constants
        ]
        given = [name for name in dict.fromkeys(node.input) if name in self.runs]
        inputs = [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(self.runs[name][FEW].dtype), None
            )
            for name in given
        ]
        outputs = [ValueInfoProto(name=name) for name in node.output]
        model = self._as_model([node], inputs, outputs, constants)
        try:
            session = ort.InferenceSession(model.SerializeToString(), self._options)
            runs = {
                rows: session.run(None, {name: self.runs[name][rows] for name in given})
                for rows in ROW_COUNTS
            }
        except Exception as error:  # onnxruntime raises many kinds
            raise DoesNotRunError from error
        found = [value for values in runs.values() for value in values]
        if any(value.size > _MAX_ELEMENTS or value.ndim > _MAX_RANK for value in found):
            raise DoesNotRunError
        if any(value.size == 0 for value in found) and not self.chance(0.1):
            raise DoesNotRunError
        return runs


Maker = Callable[[_Growing], None]
"""Adds one or a few nodes; raises DoesNotRunError."""

_MAKERS: list[Maker] = []


def _often(times: int) -> Callable[[Maker], Maker]:
    """Put a maker into the list so many times."""

    def listed(maker: Maker) -> Maker:
        _MAKERS.extend([maker] * times)
        return maker

    return listed


_UNARY = (
    *("Relu", "Abs", "Neg", "Sqrt", "Exp", "Log", "Sigmoid", "Tanh", "Erf", "Floor", "Ceil"),
    *("Round", "Sign", "Reciprocal", "Sin", "Cos", "Softplus", "Elu", "Selu", "LeakyRelu"),
    *("HardSigmoid", "HardSwish", "Celu", "ThresholdedRelu", "Softsign", "Gelu", "Mish"),
    *("Shrink", "Identity", "Dropout", "Atan", "Tan"),
)


@_often(4)
def _unary(graph: _Growing) -> None:
    graph.one(graph.among(_UNARY), graph.tensor())


@_often(1)
def _predicate(graph: _Growing) -> None:
    test = graph.one(graph.among(["IsNaN", "IsInf"]), graph.tensor())
    if graph.chance(0.5):
        graph.one("Not", test)


@_often(1)
def _clip(graph: _Growing) -> None:
    graph.one("Clip", graph.tensor(), graph.constant(-0.5, "f4"), graph.constant(1, "f4"))


@_often(6)
def _binary(graph: _Growing) -> None:
    op = graph.among(["Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Mean", "Sum", "PRelu"])
    left = graph.tensor()
    right = graph.beside(left) if graph.chance(0.5) else graph.tensor()
    pair = [left, right] if op == "PRelu" or graph.chance(0.6) else [right, left]
    graph.one(op, *pair)


@_often(1)
def _remainder(graph: _Growing) -> None:
    left = graph.tensor()
    graph.one("Mod", left, graph.beside(left), fmod=1)


@_often(2)
def _whole_arithmetic(graph: _Growing) -> None:
    left = graph.tensor("i", (0, 1, 2, 3, 4))
    kind = str(graph.runs[left][FEW].dtype)
    same = [name for name, runs in graph.runs.items() if str(runs[FEW].dtype) == kind]
    right = graph.beside(left, kind) if graph.chance(0.5) else graph.among(same)
    op = graph.among(["Add", "Sub", "Mul", "Max", "Min"])
    graph.one(op, *([left, right] if graph.chance(0.6) else [right, left]))


@_often(3)
def _choice(graph: _Growing) -> None:
    left = graph.tensor()
    right = graph.beside(left) if graph.chance(0.5) else graph.tensor()
    test = graph.one(graph.among(["Greater", "Less", "Equal"]), left, right)
    if graph.chance(0.3):
        test = graph.one(graph.among(["And", "Or", "Xor"]), test, graph.tensor("b"))
    other = graph.tensor() if graph.chance(0.5) else graph.beside(left)
    graph.one("Where", test, left, other)


@_often(2)
def _cast(graph: _Growing) -> None:
    kinds = [TensorProto.FLOAT, TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL]
    kind = graph.among([*kinds, TensorProto.FLOAT, TensorProto.FLOAT, TensorProto.UINT8])
    graph.one("Cast", graph.tensor("fiub", (0, 1, 2, 3, 4)), to=kind)


@_often(4)
def _matrix_product(graph: _Growing) -> None:
    left = graph.tensor()
    sizes = graph.shape(left)
    if graph.chance(0.4):
        graph.one("MatMul", left, graph.tensor())
    elif graph.chance(0.6):
        batch = (1,) if graph.chance(0.2) else ()
        columns = () if graph.chance(0.1) else (graph.below(4, 1),)
        graph.one("MatMul", left, graph.weights(*batch, sizes[-1], *columns))
    else:
        batch = sizes[:-2] if graph.chance(0.2) else ()
        lines = () if graph.chance(0.2) else (2,)
        graph.one("MatMul", graph.weights(*batch, *lines, sizes[-2]), left)


@_often(3)
def _turned_matrix_product(graph: _Growing) -> None:
    left, right = graph.tensor("f", (1, 2, 3, 4)), graph.tensor("f", (1, 2, 3, 4))
    if graph.chance(0.4):
        right = graph.weights(2, graph.shape(left)[-1])
    if graph.chance(0.4):
        right = left
    names = ["transA", "transB", *(["transBatchA"] if graph.chance(0.1) else [])]
    options = {name: int(graph.chance(0.5)) for name in names}
    pair = [left, right] if graph.chance(0.7) else [right, left]
    graph.add("FusedMatMul", pair, domain="com.microsoft", **options)


@_often(2)
def _cast_like(graph: _Growing) -> None:
    other = graph.tensor("fib", (0, 1, 2, 3, 4))
    graph.one("CastLike", graph.tensor("fib", (0, 1, 2, 3, 4)), other)


@_often(2)
def _sum_of_other_axes(graph: _Growing) -> None:
    left = graph.tensor("f", (2, 3, 4))
    right = graph.weights(graph.shape(left)[-1], 2) if graph.chance(0.5) else graph.tensor("f")
    texts = [
        "...a,ab->...b",
        "a...,ab->...b",
        "...a,...a->...",
        "...,...a->a...",
        "...a,b...a->b...",
    ]
    texts += ["...a,...b->...ab", "...ab,...cb->...ac", "...a,a->...", "...a,...->...a"]
    graph.one("Einsum", left, right, equation=graph.among(texts))


@_often(2)
def _split_sizes(graph: _Growing) -> None:
    sizes = graph.one("Shape", graph.tensor("fi", (2, 3)))
    count = graph.runs[sizes][FEW].size
    options: dict[str, Any] = {}
    if graph.opset >= _ALL_AXES_ARE_INPUTS:
        options["num_outputs"] = count
    graph.add("Split", [sizes], count, axis=0, **options)


@_often(1)
def _scores(graph: _Growing) -> None:
    value = graph.tensor("f", (2, 3, 4))
    order = list(range(graph.rank(value)))
    order[-2:] = order[:-3:-1]
    turned = graph.one("Transpose", value, perm=order)
    pair = [value, turned] if graph.chance(0.7) else [turned, value]
    graph.one("MatMul", *pair)


@_often(2)
def _general_product(graph: _Growing) -> None:
    left = graph.tensor("f", (2,))
    lines, columns = graph.shape(left)
    turned, other_turned = int(graph.chance(0.3)), int(graph.chance(0.3))
    shape = (lines if turned else columns, graph.below(4, 1))
    right = graph.weights(*(shape[::-1] if other_turned else shape))
    if graph.chance(0.2):
        right = graph.tensor("f", (2,))
    pair = [left, right] if graph.chance(0.8) else [right, left]
    added = []
    if graph.chance(0.6):
        sizes = [(shape[1],), (1,), (1, shape[1]), (3, 1), (3, shape[1])]
        added = [graph.weights(*graph.among(sizes))]
        if graph.chance(0.2):
            added = [graph.tensor("f", (1, 2))]
    graph.one("Gemm", *pair, *added, transA=turned, transB=other_turned, alpha=0.5)


@_often(2)
def _sum_of_products(graph: _Growing) -> None:
    left = graph.tensor("f", (1, 2, 3, 4))
    sizes = graph.shape(left)
    first = _LETTERS[: len(sizes)]
    other = [letter for letter in first if graph.chance(0.5)]
    known = dict(zip(first, sizes, strict=True))
    if graph.chance(0.5):
        other.append("z")
        known["z"] = 2
    graph.random.shuffle(other)
    right = graph.weights(*(known[letter] if graph.chance(0.8) else 1 for letter in other))
    if graph.chance(0.3):
        right = graph.tensor("f", (len(other),))
    result = [letter for letter in known if graph.chance(0.75)]
    graph.random.shuffle(result)
    equation = f"{first},{''.join(other)}->{''.join(result)}"
    graph.one("Einsum", left, right, equation=equation)


@_often(3)
def _softmax(graph: _Growing) -> None:
    value = graph.tensor()
    axis = {} if graph.chance(0.2) else {"axis": graph.axis(value)}
    graph.one(graph.among(["Softmax", "Softmax", "LogSoftmax", "Hardmax"]), value, **axis)


_REDUCTIONS = (
    *("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1"),
    *("ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare"),
)


@_often(4)
def _reduction(graph: _Growing) -> None:
    op = graph.among(_REDUCTIONS)
    kinds = "fi" if op in ("ReduceSum", "ReduceProd", "ReduceMax") else "f"
    _reduce(graph, op, graph.tensor(kinds))


def _reduce(graph: _Growing, op: str, value: str) -> str:
    axes = [] if graph.chance(0.1) else graph.axes(value)
    if graph.chance(0.3):
        axes = [axis - graph.rank(value) for axis in axes]
    options: dict[str, int] = {"keepdims": int(graph.chance(0.5))}
    since = _AXES_ARE_INPUTS if op == "ReduceSum" else _ALL_AXES_ARE_INPUTS
    if graph.opset < since:
        return graph.one(op, value, **options, **({"axes": axes} if axes else {}))
    if graph.chance(0.2):
        options["noop_with_empty_axes"] = 1
    return graph.one(op, value, *([graph.constant(axes)] if axes else []), **options)


@_often(2)
def _greatest(graph: _Growing) -> None:
    value = graph.tensor()
    op, keep = graph.among(["ArgMax", "ArgMin"]), int(graph.chance(0.5))
    graph.one(op, value, axis=graph.axis(value), keepdims=keep)


@_often(1)
def _greatest_few(graph: _Growing) -> None:
    value = graph.tensor()
    count = graph.constant([graph.below(3, 1)])
    graph.add("TopK", [value, count], 2, axis=graph.axis(value), largest=int(graph.chance(0.5)))


@_often(2)
def _running_sum(graph: _Growing) -> None:
    value = graph.tensor("f")
    axis = graph.constant(graph.axis(value))
    options = {"exclusive": int(graph.chance(0.3)), "reverse": int(graph.chance(0.3))}
    graph.one("CumSum", value, axis, **options)


@_often(4)
def _transpose(graph: _Growing) -> None:
    value = graph.tensor("fi")
    order = [int(axis) for axis in graph.random.permutation(graph.rank(value))]
    graph.one("Transpose", value, **({} if graph.chance(0.2) else {"perm": order}))


@_often(3)
def _reshape_to_numbers(graph: _Growing) -> None:
    value = graph.tensor("fi")
    few, many = graph.runs[value][FEW].shape, graph.runs[value][MANY].shape
    target = [size if size == other else 0 for size, other in zip(few, many, strict=True)]
    if graph.chance(0.3):
        target = _factors(graph, math.prod(few))
    if graph.chance(0.5):
        graph.random.shuffle(target)
    if target and graph.chance(0.8):
        target[graph.below(len(target))] = -1
    if len(target) > 2 and graph.chance(0.4):
        place = graph.below(len(target) - 1)
        target[place : place + 2] = [abs(target[place] * target[place + 1]) or -1]
    if graph.chance(0.2):
        target.insert(graph.below(len(target) + 1), 1)
    if graph.chance(0.1):
        target = [-1]
    graph.one("Reshape", value, graph.constant(target))


def _factors(graph: _Growing, whole: int) -> list[int]:
    """Return numbers whose product is `whole`."""
    factors = []
    for factor in (2, 3):
        if whole % factor == 0 and graph.chance(0.7):
            factors.append(factor)
            whole //= factor
    return [*factors, whole]


@_often(6)
def _reshape_by_sizes(graph: _Growing) -> None:
    """Merge axes and take them apart, as exporters do."""
    value = graph.tensor("fi")
    sizes = graph.one("Shape", value)
    parts, axis = [], 0
    while axis < graph.rank(value):
        merged = min(graph.among([1, 1, 2, 3]), graph.rank(value) - axis)
        parts.extend(_merged(graph, sizes, value, range(axis, axis + merged)))
        axis += merged
    if graph.chance(0.25):
        graph.random.shuffle(parts)
    if graph.chance(0.5):
        parts[graph.below(len(parts))] = graph.constant([-1])
    target = graph.one("Concat", *parts, axis=0) if len(parts) > 1 else parts[0]
    graph.one("Reshape", value, target)


def _merged(graph: _Growing, sizes: str, value: str, axes: Sequence[int]) -> list[str]:
    """Return one size for several axes, or two of which the second is a number."""
    few, many = ([graph.runs[value][n].shape[axis] for axis in axes] for n in ROW_COUNTS)
    if few == many and graph.chance(0.6):
        return [graph.constant([math.prod(few)])]
    found = graph.one("Gather", sizes, graph.constant([axes[0]]), axis=0)
    for axis in axes[1:]:
        found = graph.one("Mul", found, graph.one("Gather", sizes, graph.constant([axis]), axis=0))
    factor = graph.among([2, 3])
    if math.prod(few) % factor == 0 and graph.chance(0.5):
        parts = [graph.one("Div", found, graph.constant([factor])), graph.constant([factor])]
        return parts if graph.chance(0.6) else parts[::-1]
    return [found]


@_often(3)
def _shape(graph: _Growing) -> None:
    value = graph.tensor("fi")
    ends = graph.opset >= 15 and graph.chance(0.4)
    options = {"start": graph.axis(value), "end": graph.below(5, -2)} if ends else {}
    graph.one(graph.among(["Shape", "Shape", "Shape", "Size"]), value, **(options or {}))


def _number(graph: _Growing) -> str:
    """Return a whole number, or a list with one, which may be a size."""
    names = [
        name
        for name, runs in graph.runs.items()
        if runs[FEW].dtype.kind == "i" and runs[FEW].ndim <= 1 and 1 <= runs[FEW].size <= 4
    ]
    if not names:
        raise DoesNotRunError
    sizes = [name for name in names if not np.array_equal(*graph.runs[name].values())]
    name = graph.among(sizes if sizes and graph.chance(0.5) else names)
    if graph.runs[name][FEW].ndim and graph.chance(0.7):
        place = graph.below(graph.runs[name][FEW].size, -1)
        return graph.one("Gather", name, graph.constant([place] if graph.chance(0.6) else place))
    return name


@_often(5)
def _size_arithmetic(graph: _Growing) -> None:
    left = _number(graph)
    kind = str(graph.runs[left][FEW].dtype)
    right = graph.constant(graph.below(4, -1), kind)
    if graph.chance(0.3):
        right = _number(graph)
    op = graph.among(["Add", "Sub", "Mul", "Mul", "Div", "Div", "Mod"])
    graph.one(op, *([left, right] if graph.chance(0.7) else [right, left]))


@_often(2)
def _size_choice(graph: _Growing) -> None:
    left = _number(graph)
    kind = str(graph.runs[left][FEW].dtype)
    other = graph.constant(graph.among([-1, 0, 1, 3]), kind)
    test = graph.one("Equal", left, other if graph.chance(0.7) else _number(graph))
    graph.one("Where", test, graph.constant(1, kind), left)


@_often(2)
def _size_product(graph: _Growing) -> None:
    _reduce(graph, "ReduceProd", _number(graph))


@_often(2)
def _size_cast(graph: _Growing) -> None:
    kinds = [TensorProto.INT32, TensorProto.INT64, TensorProto.FLOAT]
    graph.one("Cast", _number(graph), to=graph.among(kinds))


def _target(graph: _Growing) -> str:
    """Return sizes: numbers and sizes of tensors."""
    parts = []
    for _ in range(graph.below(4, 1)):
        if graph.chance(0.5):
            parts.append(graph.constant([graph.below(4, 1)]))
            continue
        part = _number(graph)
        if graph.runs[part][FEW].ndim == 0:
            part = graph.one("Reshape", part, graph.constant([1]))
        if graph.chance(0.3):
            kind = str(graph.runs[part][FEW].dtype)
            part = graph.one("Sub", part, graph.constant(graph.below(3, 1), kind))
        if any(value.max() > 8 for value in graph.runs[part].values()):
            raise DoesNotRunError
        if graph.runs[part][FEW].dtype != np.int64:
            part = graph.one("Cast", part, to=TensorProto.INT64)
        parts.append(part)
    return graph.one("Concat", *parts, axis=0) if len(parts) > 1 else parts[0]


@_often(3)
def _expand(graph: _Growing) -> None:
    if graph.chance(0.5):
        value = graph.tensor("fi")
    else:
        value = graph.weights(*graph.among([(), (1,), (2,), (1, 1), (1, 2), (3, 1)]))
    target = graph.one("Shape", graph.tensor("fi")) if graph.chance(0.3) else _target(graph)
    graph.one("Expand", value, target)


@_often(3)
def _filled(graph: _Growing) -> None:
    fill = numpy_helper.from_array(np.array([1.5 if graph.chance(0.7) else 2], "f4"))
    if graph.chance(0.3):
        fill = numpy_helper.from_array(np.array([1], "i8"))
    target = graph.one("Shape", graph.tensor("fi")) if graph.chance(0.3) else _target(graph)
    graph.one("ConstantOfShape", target, value=fill)


@_often(3)
def _tile(graph: _Growing) -> None:
    value = graph.tensor("f") if graph.chance(0.7) else graph.weights(2)
    rank = graph.rank(value) if value in graph.runs else 1
    if graph.chance(0.5):
        repeats = graph.constant([graph.among([1, 1, 2]) for _ in range(rank)])
    else:
        repeats = _target(graph)
    graph.one("Tile", value, repeats)


@_often(1)
def _counted(graph: _Growing) -> None:
    end = _number(graph)
    if graph.rank(end):
        end = graph.one("Reshape", end, graph.constant([], "i8"))
    if any(value.max() > 8 for value in graph.runs[end].values()):
        raise DoesNotRunError
    kind = str(graph.runs[end][FEW].dtype)
    start = graph.constant(graph.below(2), kind)
    found = graph.one("Range", start, end, graph.constant(1, kind))
    graph.one("Cast", found, to=TensorProto.FLOAT)


@_often(6)
def _by_row_numbers(graph: _Growing) -> None:
    """Take elements of each row by its number, as exporters do for masks: x[arange(N), j]."""
    value = graph.tensor("fi", (2, 3))
    flat = graph.chance(0.5)
    sizes = graph.one("Shape", value)
    count = graph.one("Gather", sizes, graph.constant(0))
    rows = _range(graph, count)
    steps = graph.one("Gather", sizes, graph.constant([1]))
    places = _places_in_rows(graph, value, steps)
    shape = [1] * (graph.rank(places) if places in graph.runs else 1)
    shape[0] = -1
    rows = graph.one("Reshape", rows, graph.constant(shape))
    if flat:
        factor = steps if graph.chance(0.8) else graph.constant([graph.below(4, 1)])
        index = graph.one("Add", graph.one("Mul", rows, factor), places)
        target = graph.constant([-1, *([0] if graph.chance(0.1) else graph.shape(value)[2:])])
        graph.one("Gather", graph.one("Reshape", value, target), index, axis=0)
        return
    both = graph.one("Shape", graph.one(graph.among(["Max", "Add"]), rows, places))
    pair = [
        graph.one("Unsqueeze", graph.one("Expand", part, both), graph.constant([-1]))
        for part in ((rows, places) if graph.chance(0.85) else (places, rows))
    ]
    graph.one("GatherND", value, graph.one("Concat", *pair, axis=-1))


def _range(graph: _Growing, end: str) -> str:
    """Return the numbers from 0, or sometimes 1, to before a size."""
    if graph.rank(end):
        end = graph.one("Reshape", end, graph.constant([], "i8"))
    if any(run.dtype != np.int64 or run.max() > 8 for run in graph.runs[end].values()):
        raise DoesNotRunError
    start = graph.constant(0 if graph.chance(0.9) else 1)
    return graph.one("Range", start, end, graph.constant(1))


def _places_in_rows(graph: _Growing, value: str, steps: str) -> str:
    """Return indices, of each row or the same for all; not all are below the number of steps."""
    kind = graph.among(["range", "range", "greatest", "other", "number"])
    if kind == "range":
        places = _range(graph, steps if graph.chance(0.8) else _number(graph))
        shape = graph.constant([1, -1])
        return graph.one("Reshape", places, shape)
    if kind == "greatest":
        other = value if graph.chance(0.5) else graph.tensor("f", (2,))
        found = graph.one("ArgMax", other, axis=1, keepdims=int(graph.chance(0.5)))
        return graph.one("Mul", found, graph.constant([2])) if graph.chance(0.1) else found
    if kind == "other":
        return graph.tensor("i", (1, 2))
    return graph.constant([[graph.below(3, -1)]])


@_often(2)
def _by_tuples(graph: _Growing) -> None:
    value = graph.tensor("fi", (2, 3, 4))
    batch = graph.below(3)
    outside = graph.shape(value)[:batch]
    length = graph.below(graph.rank(value) - batch + 1, 1)
    if graph.chance(0.5):
        indices = graph.tensor("i", (2, 3))
    else:
        indices = graph.constant(np.zeros([*outside, 2, length]))
    if batch and graph.chance(0.6):
        indices = graph.one("ArgMax", value, axis=graph.below(graph.rank(value), 1), keepdims=1)
    options = {"batch_dims": batch} if graph.opset > 11 else {}
    graph.one("GatherND", value, indices, **options)


@_often(2)
def _flatten(graph: _Growing) -> None:
    value = graph.tensor()
    graph.one("Flatten", value, axis=graph.below(graph.rank(value) + 1, -graph.rank(value)))


@_often(2)
def _unsqueeze(graph: _Growing) -> None:
    value = graph.tensor("fi", (0, 1, 2, 3))
    axes = [graph.axis(value) if graph.rank(value) else 0]
    if graph.chance(0.2):
        axes.append(graph.below(graph.rank(value) + 2))
    _with_axes(graph, "Unsqueeze", value, axes)


@_often(3)
def _squeeze(graph: _Growing) -> None:
    value = graph.tensor("fi")
    axes = [axis for axis, size in enumerate(graph.shape(value)) if size == 1]
    if graph.chance(0.1):
        graph.one("Squeeze", value)
        return
    axis = graph.among(axes)
    _with_axes(graph, "Squeeze", value, [axis - graph.rank(value) if graph.chance(0.5) else axis])


def _with_axes(graph: _Growing, op: str, value: str, axes: list[int]) -> None:
    if graph.opset < _AXES_ARE_INPUTS:
        graph.one(op, value, axes=axes)
    else:
        graph.one(op, value, graph.constant(axes))


@_often(3)
def _concat(graph: _Growing) -> None:
    value = graph.tensor("fi")
    axis = graph.axis(value)
    kind = graph.runs[value][FEW].dtype
    others = [
        name
        for name, runs in graph.runs.items()
        if runs[FEW].ndim == graph.rank(value) and runs[FEW].dtype == kind
    ]
    other = graph.among(others)
    if graph.chance(0.3):
        sizes = list(graph.shape(value))
        sizes[axis] = 1
        other = graph.constant(np.ones(sizes), str(kind))
    parts = [value, other] if graph.chance(0.6) else [other, value]
    graph.one("Concat", *parts, axis=axis)


@_often(2)
def _split(graph: _Growing) -> None:
    value = graph.tensor()
    axis = graph.axis(value)
    size = graph.shape(value)[axis]
    options: dict[str, Any] = {"axis": axis}
    inputs = [value]
    lengths = [1, size - 1]
    if size > 1 and graph.chance(0.5):
        if graph.opset < _AXES_ARE_INPUTS:
            options["split"] = lengths
        else:
            inputs.append(graph.constant(lengths))
    elif graph.opset >= _ALL_AXES_ARE_INPUTS:
        options["num_outputs"] = 2
    graph.add("Split", inputs, 2, **options)


@_often(5)
def _slice(graph: _Growing) -> None:
    value = graph.tensor("fi")
    axis = graph.axis(value)
    start = graph.among([0, 0, 0, 1, -1, -2])
    end = graph.among([2**63 - 1, 2**63 - 1, 2**31 - 1, 1, 2, 3, -1, 1000])
    step = graph.among([1, 1, 1, 1, 2, -1])
    if step < 0:
        start, end = -1, -(2**31)
    graph.one("Slice", value, *map(graph.constant, ([start], [end], [axis], [step])))


@_often(3)
def _slice_to_a_size(graph: _Growing) -> None:
    """Take as many places as something else has, as of positions in a text."""
    end = graph.one("Reshape", _number(graph), graph.constant([1]))
    if graph.runs[end][FEW].dtype != np.int64:
        raise DoesNotRunError
    value = graph.tensor("fi") if graph.chance(0.5) else graph.weights(5, *graph.among([(), (1,)]))
    axis = graph.axis(value) if value in graph.runs else 0
    start = graph.constant([graph.among([0, 0, 0, 1])])
    if graph.chance(0.1):
        start, end = graph.constant([0]), graph.one("Neg", end)
    part = graph.one("Slice", value, start, end, graph.constant([axis]))
    if graph.chance(0.6):
        graph.one("Add", part, graph.tensor(graph.runs[part][FEW].dtype.kind))


@_often(1)
def _slice_of_first_axes(graph: _Growing) -> None:
    value = graph.tensor("fi", (2, 3, 4))
    starts = graph.constant([0, graph.below(2)])
    graph.one("Slice", value, starts, graph.constant([2**31 - 1, 2]))


@_often(2)
def _pad(graph: _Growing) -> None:
    value = graph.tensor()
    rank = graph.rank(value)
    pads = [graph.among([0, 0, 1]) for _ in range(2 * rank)]
    if graph.chance(0.3):
        pads[0] = 0
        pads[rank] = 0
    if graph.chance(0.2):
        axis = graph.below(rank)
        pads[axis], pads[axis + rank] = 1, -1
    mode = graph.among(["constant", "constant", "edge", "reflect"])
    graph.one("Pad", value, graph.constant(pads), mode=mode)


@_often(4)
def _gather(graph: _Growing) -> None:
    value = graph.tensor("fi")
    axis = graph.axis(value)
    kind = graph.among(["number", "list", "row indices", "table", "table"])
    if kind == "number":
        graph.one("Gather", value, graph.constant(graph.below(2, -1)), axis=axis)
    elif kind == "list":
        graph.one("Gather", value, graph.constant([0, graph.below(2, -1)]), axis=axis)
    elif kind == "row indices":
        graph.one("Gather", value, graph.tensor("i", (0, 1, 2)), axis=axis)
    else:
        sizes = graph.among([(4, 2), (4,), (2, 4)])
        graph.one("Gather", graph.weights(*sizes), graph.tensor("i", (1, 2, 3)), axis=0)


@_often(2)
def _gather_elements(graph: _Growing) -> None:
    value = graph.tensor()
    axis = graph.axis(value)
    if graph.chance(0.5):
        indices = graph.one("ArgMax", value, axis=axis, keepdims=1)
    elif graph.chance(0.5):
        indices = graph.tensor("i", (graph.rank(value),))
    else:
        indices = graph.constant(np.zeros(graph.shape(value)))
    graph.one("GatherElements", value, indices, axis=axis)


@_often(2)
def _one_hot(graph: _Growing) -> None:
    indices = graph.tensor("i", (1, 2, 3))
    values = graph.constant([0, 1.5], "f4")
    axis = graph.below(graph.rank(indices) + 1, -graph.rank(indices) - 1)
    graph.one("OneHot", indices, graph.constant([3]), values, axis=axis)


@_often(3)
def _resize(graph: _Growing) -> None:
    value = graph.tensor("f", (3, 4))
    rank = graph.rank(value)
    mode = graph.among(["linear", "linear", "nearest"])
    ways = ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"]
    options = {"mode": mode, "coordinate_transformation_mode": graph.among(ways)}
    if graph.opset >= _ALL_AXES_ARE_INPUTS and graph.chance(0.2):
        policy = graph.among(["not_larger", "not_smaller", "stretch"])
        options["keep_aspect_ratio_policy"] = policy
    roi = graph.constant([], "f4")
    if graph.chance(0.6):
        scales = [1.0] * (rank - 2) + [graph.among([1.0, 2.0, 1.5]) for _ in range(2)]
        if graph.chance(0.2):
            graph.random.shuffle(scales)
        graph.one("Resize", value, roi, graph.constant(scales, "f4"), **options)
        return
    sizes = graph.one("Shape", value)
    first = graph.one("Slice", sizes, *map(graph.constant, ([0], [rank - 2], [0])))
    wanted = graph.one("Concat", first, graph.constant([graph.below(4, 1), 3]), axis=0)
    inputs = [value, "", "", wanted] if graph.opset >= 13 else [value, roi, roi, wanted]
    graph.one("Resize", *inputs, **options)


@_often(2)
def _layer_normalization(graph: _Growing) -> None:
    value = graph.tensor()
    axis = graph.axis(value)
    sizes = graph.shape(value)[axis:]
    others = [graph.weights(*sizes) for _ in range(graph.below(3, 1))]
    # A usual epsilon makes rounding errors of equal numbers as large as the result.
    attributes = {"axis": axis, "epsilon": 0.1}
    graph.add("LayerNormalization", [value, *others], graph.among([1, 1, 3]), **attributes)


@_often(3)
def _residual(graph: _Growing) -> None:
    """Normalise a sum, which ONNX Runtime computes with one operator."""
    value = graph.tensor("f", (3,))
    other = graph.beside(value) if graph.chance(0.3) else graph.tensor("f", (3,))
    total = graph.one("Add", *([value, other] if graph.chance(0.5) else [other, value]))
    width = graph.shape(total)[-1]
    pair = [graph.weights(width), graph.weights(width)]
    graph.one("LayerNormalization", total, *pair, axis=-1, epsilon=0.1)


@_often(2)
def _batch_normalization(graph: _Growing) -> None:
    value = graph.tensor("f", (2, 3, 4))
    channels = graph.shape(value)[1]
    others = [graph.weights(channels) for _ in range(3)]
    positive = graph.constant(np.abs(graph.random.normal(size=channels)) + 0.1, "f4")
    graph.one("BatchNormalization", value, *others, positive)


@_often(1)
def _other_normalization(graph: _Growing) -> None:
    value = graph.tensor("f", (3, 4))
    channels = graph.shape(value)[1]
    op = graph.among(["InstanceNormalization", "LpNormalization", "LRN", "GroupNormalization"])
    if op == "InstanceNormalization":
        graph.one(op, value, graph.weights(channels), graph.weights(channels))
    elif op == "LpNormalization":
        graph.one(op, value, axis=graph.axis(value), p=graph.among([1, 2]))
    elif op == "LRN":
        graph.one(op, value, size=3)
    else:
        groups = graph.among([1, channels])
        lengths = channels if graph.opset > 20 else groups
        graph.one(op, value, graph.weights(lengths), graph.weights(lengths), num_groups=groups)


@_often(1)
def _mean_variance(graph: _Growing) -> None:
    value = graph.tensor("f", (4,))
    axes = {} if graph.chance(0.3) else {"axes": graph.axes(value)}
    graph.one("MeanVarianceNormalization", value, **axes)


@_often(3)
def _convolution(graph: _Growing) -> None:
    value = graph.tensor("f", (3, 4))
    sizes = graph.shape(value)
    kernel = [graph.below(3, 1) for _ in sizes[2:]]
    options: dict[str, Any] = {"strides": [graph.among([1, 1, 2]) for _ in kernel]}
    if graph.chance(0.3):
        options["auto_pad"] = graph.among(["SAME_UPPER", "SAME_LOWER", "VALID"])
    elif graph.chance(0.5):
        options["pads"] = [graph.below(2) for _ in kernel * 2]
    bias = [graph.weights(2)] if graph.chance(0.5) else []
    if graph.chance(0.3):
        if graph.chance(0.3):
            options["output_padding"] = [graph.below(step) for step in options["strides"]]
        graph.one("ConvTranspose", value, graph.weights(sizes[1], 2, *kernel), *bias, **options)
    else:
        graph.one("Conv", value, graph.weights(2, sizes[1], *kernel), *bias, **options)


@_often(3)
def _pool(graph: _Growing) -> None:
    value = graph.tensor("f", (3, 4))
    op = graph.among(["MaxPool", "MaxPool", "AveragePool", "LpPool", "GlobalMaxPool"])
    if op == "GlobalMaxPool":
        graph.one(graph.among([op, "GlobalAveragePool"]), value)
        return
    kernel = [graph.below(3, 1) for _ in graph.shape(value)[2:]]
    options: dict[str, Any] = {"kernel_shape": kernel}
    if graph.chance(0.4):
        options["strides"] = [graph.among([1, 2]) for _ in kernel]
    if graph.chance(0.3) and op != "LpPool":
        options["ceil_mode"] = 1
    outputs = 2 if op == "MaxPool" and graph.chance(0.5) else 1
    graph.add(op, [value], outputs, **options)


@_often(3)
def _quantize(graph: _Growing) -> None:
    value = graph.tensor()
    axis = graph.axis(value)
    options = {} if graph.opset < _AXES_ARE_INPUTS else {"axis": axis}
    size = graph.shape(value)[axis]
    shape = graph.among([(), (1,), (size,)])
    scale = graph.constant(np.round(graph.random.random(shape) + 0.1, 2), "f4")
    zero = graph.constant(graph.random.integers(0, 5, shape), "u1")
    whole = graph.one("QuantizeLinear", value, scale, zero, **options)
    graph.one("DequantizeLinear", whole, scale, zero, **options)


@_often(2)
def _quantize_for_the_input(graph: _Growing) -> None:
    value = graph.tensor()
    whole, scale, zero = graph.add("DynamicQuantizeLinear", [value], 3)
    graph.one("DequantizeLinear", whole, scale, zero)


@_often(1)
def _whole_product(graph: _Growing) -> None:
    left = graph.tensor("u", (2, 3))
    right = graph.constant(graph.random.integers(0, 5, (graph.shape(left)[-1], 2)), "u1")
    found = graph.one("MatMulInteger", left, right)
    graph.one("Cast", found, to=TensorProto.FLOAT)


@_often(4)
def _recurrent(graph: _Growing) -> None:
    value = graph.tensor("f", (3,))
    if graph.chance(0.6):
        value = graph.one("Transpose", value, perm=[1, 0, 2])
    op, gates = graph.among([("LSTM", 4), ("GRU", 3), ("RNN", 1)])
    hidden, features = 2, graph.shape(value)[2]
    weights = [graph.weights(1, gates * hidden, features), graph.weights(1, gates * hidden, hidden)]
    if graph.chance(0.4):
        weights += ["", _lengths(graph, value), _state(graph, value, hidden)]
    graph.add(op, [value, *weights], graph.among([1, 2]), hidden_size=hidden)


def _lengths(graph: _Growing, value: str) -> str:
    """Return how many steps each row has, or nothing."""
    if graph.chance(0.6):
        return ""
    found = graph.tensor("i", (1,))
    if graph.chance(0.5):
        found = graph.one("ReduceMax", value, axes=[0, 2], keepdims=0)
        found = graph.one("Clip", found, graph.constant(1, "f4"), graph.constant(1, "f4"))
    return graph.one("Cast", found, to=TensorProto.INT32)


def _state(graph: _Growing, value: str, hidden: int) -> str:
    """Return the state at the start, of each row or of all."""
    if graph.chance(0.3):
        return graph.weights(1, graph.shape(value)[1], hidden)
    rows = graph.one("Gather", graph.one("Shape", value), graph.constant([1]))
    sizes = graph.one("Concat", graph.constant([1]), rows, graph.constant([hidden]), axis=0)
    return graph.one("Expand", graph.weights(1, 1, hidden), sizes)


@_often(1)
def _triangle(graph: _Growing) -> None:
    graph.one("Trilu", graph.tensor("f", (2, 3, 4)), upper=int(graph.chance(0.5)))


@_often(1)
def _depth(graph: _Growing) -> None:
    op = graph.among(["SpaceToDepth", "DepthToSpace"])
    graph.one(op, graph.tensor("f", (4,)), blocksize=2)
