"""Models in which rows meet are refused, as are those that readers of ONNX could differ about."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import pytest
from onnx import (
    AttributeProto,
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    helper,
    numpy_helper,
    parser,
)

from inference_server.runtime.rows import proof
from inference_server.runtime.rows.refusal import Refused

_QUICK_SECONDS = 10
"""Far more than any answer takes, also on a busy machine."""
_PROVED = None


def _model(inputs: str, body: str, opset: int = 18, extra: str = "") -> ModelProto:
    """Return a model in ONNX's language, whose output is `y`."""
    sets = f'["": {opset}, "ai.onnx.ml": 3, "com.microsoft": 1, "own": 1]'
    text = f"<ir_version: 8, opset_import: {sets}> g ({inputs}) => (y) {body} {extra}"
    return parser.parse_model(text)


def _reason(inputs: str, body: str, opset: int = 18, extra: str = "") -> str | None:
    return proof.prove(_model(inputs, body, opset, extra)).reason


def _relu(shape: Sequence[int | str] | None = ("N", 2), opset: int = 18) -> ModelProto:
    """Return a model that is proved, unless its input's shape or operator set forbids."""
    return _of_nodes([helper.make_node("Relu", ["x"], ["y"])], shape, opset)


def _of_nodes(
    nodes: Sequence[NodeProto],
    shape: Sequence[int | str] | None = ("N", 2),
    opset: int = 18,
    constants: Sequence[TensorProto] = (),
) -> ModelProto:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "g", [x], [y], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])


# Models whose rows are apart.


@pytest.mark.parametrize(
    ("inputs", "body"),
    [
        ("float[N, 2] x", "<float[2, 3] w = {1, 2, 3, 4, 5, 6}> { y = MatMul(x, w) }"),
        ("float[N, 2] x", "{ y = Softmax<axis=-1>(x) }"),
        ("int64[N, S] x", "<float[3, 1] table = {1, 2, 3}> { y = Gather(table, x) }"),
        ("float[N, S, 6] x", "<int64[4] s = {0, 0, 2, 3}> { y = Reshape(x, s) }"),
        (
            "float[N, S, 6] x",
            "<int64[2] s = {-1, 6}, int64[2] z = {1, -1}, int64[1] o = {0}>"
            "{ flat = Reshape(x, s) h = Relu(flat) n = Shape<start=0, end=2>(x)"
            "  six = Shape<start=2>(x) t = Concat<axis=0>(n, six) y = Reshape(h, t) }",
        ),
        ("float[N, 3, 8, 8] x", "{ p = MaxPool<kernel_shape=[2, 2]>(x) y = Flatten(p) }"),
        (
            "float[N, 2] x, float[N, 2] z",
            "{ both = Concat<axis=1>(x, z) y = ReduceMax<keepdims=0>(both, a) }",
        ),
    ],
)
def test_usual_models_are_proved(inputs: str, body: str) -> None:
    body = body.replace("ReduceMax<keepdims=0>(both, a)", "Softmax(both)")
    assert _reason(inputs, body) is _PROVED


def test_zero_in_a_target_shape_copies_a_size() -> None:
    assert _reason("float[N, 6] x", "<int64[3] s = {0, 2, 3}> { y = Reshape(x, s) }") is _PROVED
    text = "<int64[3] s = {0, 2, 3}> { y = Reshape<allowzero=1>(x, s) }"
    assert _reason("float[N, 6] x", text) is not _PROVED


def test_an_optional_input_is_taken_for_its_constant() -> None:
    model = _model("float[N, 2] x, float[1] s", "{ y = Mul(x, s) }")
    assert proof.prove(model).reason is not _PROVED  # it must be sent
    model.graph.initializer.append(numpy_helper.from_array(np.ones(1, "f4"), "s"))
    assert proof.prove(model).reason is _PROVED


# Operators that bring rows together.


def test_a_choice_by_a_rare_value_is_refused() -> None:
    body = (
        "<float limit = {1000}, int64[1] first = {0}>"
        "{ top = ReduceMax<keepdims=0>(x) rare = Greater(top, limit)"
        "  total = ReduceSum<keepdims=1>(x, first) y = Where(rare, total, x) }"
    )
    assert _reason("float[N, 2] x", body) is not _PROVED


def test_a_choice_between_graphs_is_refused() -> None:
    body = (
        "{ top = ReduceMax<keepdims=0>(x) flag = Cast<to=9>(top)"
        "  y = If (flag) <then_branch = a () => (float[N, 2] p) { p = Identity(x) },"
        "  else_branch = b () => (float[N, 2] q) { q = Neg(x) }> }"
    )
    assert _reason("float[N, 2] x", body) is not _PROVED


@pytest.mark.parametrize("shape", ["N, 4", "N, 1, 4"])
def test_linear_interpolation_of_few_axes_is_refused(shape: str) -> None:
    rank = shape.count(",") + 1
    scales = ", ".join(["1"] * (rank - 1) + ["2"])
    text = f'<float[{rank}] s = {{{scales}}}> {{ y = Resize<mode="linear">(x, , s) }}'
    assert _reason(f"float[{shape}] x", text) is not _PROVED


def test_interpolation_of_images_is_proved() -> None:
    text = '<float[4] s = {1, 1, 2, 2}> { y = Resize<mode="linear">(x, , s) }'
    assert _reason("float[N, 3, 4, 4] x", text) is _PROVED


def test_an_index_into_all_rows_as_one_list_is_refused() -> None:
    body = "<int64[1] s = {-1}> { flat = Reshape(x, s) y = Gather(flat, ids) }"
    assert _reason("float[N, 4] x, int64[N] ids", body) is not _PROVED
    body = "{ flat = Flatten<axis=0>(x) y = Gather<axis=1>(flat, ids) }"
    assert _reason("float[N, 4] x, int64[N] ids", body) is not _PROVED


def test_a_reshape_that_needs_a_size_that_callers_choose_is_refused() -> None:
    """ONNX Runtime puts -1 for the number of rows, and the run of two rows of six succeeds."""
    body = (
        "<int64[1] z = {0}, int64[1] four = {4}, int64 last = {1}>"
        "{ s = Shape(x) n = Gather(s, z) t = Concat<axis=0>(n, four) r = Reshape(x, t)"
        "  sums = CumSum(r, last) y = Reshape(sums, s) }"
    )
    assert _reason("float[N, 4] x", body) is _PROVED
    assert _reason("float[N, S] x", body) is not _PROVED


@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.INT8])
def test_the_number_of_rows_as_a_value_is_refused(kind: int) -> None:
    body = f"{{ n = Size(x) f = Cast<to={kind}>(n) v = Cast<to=1>(f) y = Add(x, v) }}"
    assert _reason("float[N, 2] x", body) is not _PROVED


@pytest.mark.parametrize("op", ["Expand(one, m)", "ConstantOfShape(m)"])
def test_a_size_that_is_less_than_the_number_of_rows_is_refused(op: str) -> None:
    body = (
        "<int64[1] two = {2}, int64[1] z = {0}, float[1] one = {1}>"
        f"{{ s = Shape(x) n = Gather(s, z) m = Sub(n, two) e = {op} f = Exp(e)"
        "  t = ReduceSum<keepdims=0>(f) y = Add(x, t) }"
    )
    assert _reason("float[N, 2] x", body) is not _PROVED


def test_a_product_of_sizes_that_is_left_alone_is_no_product() -> None:
    body = "{ s = Shape(x) y = ReduceProd<noop_with_empty_axes=1>(s) }"
    known = proof.follow(_model("float[N, 2] x", body))["y"]
    assert isinstance(known, Refused) or len(known.entries or ()) != 1


@pytest.mark.parametrize("way", ["VALID", "NOTSET"])
def test_a_pool_that_is_wider_than_its_input_has_no_wrong_size(way: str) -> None:
    """ONNX Runtime divides towards 0, and so finds one place."""
    body = f'{{ y = MaxPool<kernel_shape=[2], strides=[2], auto_pad="{way}">(x) }}'
    known = proof.follow(_model("float[N, 1, 1] x", body))["y"]
    assert isinstance(known, Refused) or known.known_shape[2].constant != 0


@pytest.mark.parametrize(
    ("start", "end", "is_proved"),
    [("zero", "n", True), ("zero", "more", False), ("one", "n", False), ("n", "end", False)],
)
def test_a_slice_of_as_many_rows_as_there_are_takes_all(
    start: str, end: str, *, is_proved: bool
) -> None:
    body = (
        "<int64[1] zero = {0}, int64[1] one = {1}, int64[1] end = {100}>"
        f"{{ s = Shape(x) n = Gather(s, zero) more = Add(n, one) y = Slice(x, {start}, {end}) }}"
    )
    assert (_reason("float[N, 2] x", body) is _PROVED) is is_proved


def test_positions_of_a_text_are_as_many_as_it_has() -> None:
    """A table is as long as the longest text: the part is as long as this one, or one of one."""
    body = (
        "<float[3, 1] table = {1, 2, 3}, int64[1] zero = {0}, int64[1] one = {1},"
        " int64[1] z = {-1}>"
        "{ s = Shape(x) t = Shape(m) n = Gather(t, one) p = Slice(table, zero, n) a = Add(x, p)"
        "  r = Reshape(a, z) h = Relu(r) y = Reshape(h, s) }"
    )
    assert _reason("float[N, S, 1] x, float[N, S] m", body) is _PROVED
    assert _reason("float[N, S, 1] x, float[N, T] m", body) is not _PROVED


@pytest.mark.parametrize("kernel", ["3", "5"])
def test_convolutions_with_the_same_steps_have_equal_sizes(kernel: str) -> None:
    """An exporter gives them one name."""
    pads = (int(kernel) - 1) // 2
    weights = ", ".join(["1"] * int(kernel))
    body = (
        f"<float[1, 1, {kernel}] w = {{{weights}}}, float[1, 1, 1] v = {{2}}>"
        f"{{ a = Conv<strides=[2], pads=[{pads}, {pads}]>(x, w) b = Conv<strides=[2]>(x, v)"
        "  y = Add(a, b) }"
    )
    model = _model("float[N, 1, S] x", body)
    for name in "ab":
        told = helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 1, "(S-1)//2 + 1"])
        model.graph.value_info.append(told)
    assert proof.prove(model).reason is _PROVED
    changed = "strides=[2]>(x, v)", "strides=[3]>(x, v)"
    other = _model("float[N, 1, S] x", body.replace(*changed))
    other.graph.value_info.extend(model.graph.value_info)
    assert proof.prove(other).reason is not _PROVED


_NUMBERED = (
    "<int64 zero = {0}, int64 one = {1}, int64[1] second = {1}, int64[1] all = {-1},"
    " int64[1] three = {3}, int64[2] across = {1, -1}, int64[2] down = {-1, 1}>"
    "{ s = Shape(x) n = Gather(s, zero) i = Range(zero, n, one) rows = Reshape(i, down)"
    "  steps = Gather(s, second) m = Gather(s, one) r = Range(zero, m, one)"
    "  each = Reshape(r, across)"
)


def _numbered(body: str) -> str | None:
    """Return why a model is refused that numbers its rows, and the steps of each."""
    return _reason("float[N, S] x, int64[N, 1] j", f"{_NUMBERED} {body} }}")


@pytest.mark.parametrize(
    ("factor", "places", "is_proved"),
    [
        ("steps", "each", True),
        ("steps", "greatest", True),
        ("steps", "zero", True),
        ("steps", "j", False),  # S, which is the first place of the next row
        ("steps", "more", False),
        ("steps", "three", False),
        ("three", "each", False),
        ("second", "each", False),
    ],
)
def test_an_index_into_all_rows_is_of_the_own_row(
    factor: str, places: str, *, is_proved: bool
) -> None:
    """As in masks that PyTorch's older exporter writes."""
    body = (
        f"greatest = ArgMax<axis=1>(x) more = Add(each, one) k = Mul(rows, {factor})"
        f" at = Add(k, {places}) flat = Reshape(x, all) y = Gather(flat, at)"
    )
    assert (_numbered(body) is _PROVED) is is_proved


@pytest.mark.parametrize(
    ("first", "other", "is_proved"),
    [("rows", "each", True), ("rows", "j", True), ("each", "rows", False), ("j", "each", False)],
)
def test_a_pair_of_indices_begins_with_the_number_of_the_row(
    first: str, other: str, *, is_proved: bool
) -> None:
    """As in masks that PyTorch's newer exporter writes."""
    body = (
        f"top = Max({first}, {other}) both = Shape(top) e = Expand({first}, both)"
        f" f = Expand({other}, both) a = Unsqueeze(e, all) b = Unsqueeze(f, all)"
        " at = Concat<axis=-1>(a, b) y = GatherND(x, at)"
    )
    assert (_numbered(body) is _PROVED) is is_proved


@pytest.mark.parametrize(
    "body",
    [
        "y = Identity(i)",
        "v = Cast<to=1>(rows) y = Add(x, v)",
        "v = CastLike(rows, x) y = Add(x, v)",
        "v = Sub(n, i) y = Gather(x, v)",
        "top = Max(rows, j) v = Cast<to=1>(top) y = Add(x, v)",
        "y = Gather<axis=1>(x, i)",
        "v = Mul(i, i) y = Gather(x, v)",
        "from = Add(n, zero) v = Range(one, from, one) y = Gather(x, v)",
        "a = Add(rows, rows) y = Where(a, x, x)",
        "h = Unsqueeze(rows, all) t = Concat<axis=-1>(h, h) y = GatherND(x, t)",
    ],
)
def test_the_number_of_a_row_as_a_value_is_refused(body: str) -> None:
    assert _numbered("y = Gather(x, i)") is _PROVED
    assert _numbered(body) is not _PROVED


@pytest.mark.parametrize(
    ("body", "is_proved"),
    [
        ('y = Einsum<equation="...a,ab->...b">(x, w)', True),
        ('y = Einsum<equation="a...,...->a...">(x, x)', False),
        ('y = Einsum<equation="...a,...a->...">(x, x)', True),
        ('y = Einsum<equation="...a,b...a->b">(x, x)', False),
        ("y = com.microsoft.FusedMatMul<transB=1>(x, w)", True),
        ("y = com.microsoft.FusedMatMul<transA=1>(x, x)", False),
        ("y = com.microsoft.FusedMatMul<transB=1>(x, x)", False),
        ("y = com.microsoft.FusedMatMul<transA=1, transBatchA=1>(h, x)", False),
        ("y = CastLike(x, w)", True),
        ("s = Shape(x) v = CastLike(s, w) y = Add(x, v)", False),
        ("s = Shape(x) a, b = Split<axis=0, num_outputs=2>(s) t = Concat<axis=0>(a, b)"
         " y = Reshape(x, t)", True),
        ("s = Shape(x) a, b = Split<axis=0, num_outputs=2>(s) t = Concat<axis=0>(b, a)"
         " y = Reshape(x, t)", False),
    ],
)  # fmt: skip
def test_further_products_and_parts(body: str, *, is_proved: bool) -> None:
    text = f"<float[2, 2] w = {{1, 2, 3, 4}}> {{ h = Transpose(x) {body} }}"
    assert (_reason("float[N, 2] x", text) is _PROVED) is is_proved


def test_tuples_within_rows_are_proved() -> None:
    body = "{ y = GatherND<batch_dims=%d>(x, j) }"
    assert _reason("float[N, 4, 2] x, int64[N, 3, 1] j", body % 1) is _PROVED
    assert _reason("float[N, 4, 2] x, int64[N, 3, 1] j", body % 0) is not _PROVED
    table = "<float[3, 4] w = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}>"
    text = "{ y = GatherND<batch_dims=%d>(w, j) }"
    assert _reason("int64[N, 2] j", table + text % 0) is _PROVED
    assert _reason("int64[N, 1] j", table + text % 1) is not _PROVED


def test_a_picture_that_is_halved_and_doubled_has_the_sizes_that_an_exporter_declares() -> None:
    body = (
        "<float[1, 1, 1, 1] w = {2}, float[1, 1, 2, 2] v = {1, 2, 3, 4}, float[4] f = {1, 1, 2, 2}>"
        "{ a = Conv<strides=[2, 2]>(x, w) b = Resize(a, , f)"
        "  c = ConvTranspose<strides=[2, 2]>(a, v) y = Add(b, c) }"
    )
    model = _model("float[N, 1, H, W] x", body)
    for name in "bc":
        sizes = ["N", 1, "2*((H-1)//2 + 1)", "2*((W-1)//2 + 1)"]
        model.graph.value_info.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes))
    assert proof.prove(model).reason is _PROVED
    told = helper.make_tensor_value_info("c", TensorProto.FLOAT, sizes[:2] + sizes[:1:-1])
    model.graph.value_info[1].CopyFrom(told)
    assert proof.prove(model).reason is not _PROVED


def test_a_softmax_over_rows_is_refused() -> None:
    assert _reason("float[N, 2] x", "{ y = Softmax<axis=0>(x) }") is not _PROVED


def test_a_softmax_is_read_as_its_operator_set_means_it() -> None:
    body = "{ t = Transpose<perm=[1, 2, 0]>(x) s = Softmax<axis=1>(t)" + (
        " y = Transpose<perm=[2, 0, 1]>(s) }"
    )
    assert _reason("float[N, 2, 3] x", body, opset=11) is not _PROVED
    assert _reason("float[N, 2, 3] x", body, opset=13) is _PROVED


@pytest.mark.parametrize(
    ("inputs", "body"),
    [
        ("float[N, 2] x", "{ y = CumSum(x, axis) }"),
        ("float[N, 2] x", "<float[1, 2] c = {1, 2}> { y = Concat<axis=0>(x, c) }"),
        ("float[N, 2] x", "<float[3, 1] c = {1, 2, 3}> { y = Add(x, c) }"),
        ("float[N, 2] x", "{ t = Transpose(x) y = MatMul(x, t) }"),
        ("float[N, 2] x", "{ y, scale, zero = DynamicQuantizeLinear(x) }"),
        ("float[N, 1, 4] x", "{ p, y = MaxPool<kernel_shape=[2]>(x) }"),
        ("float[N, 2] x", "{ y = Squeeze(x) }"),
        ("float[N, 2] x", "{ y = NonZero(x) }"),
        ("float[N, 2] x", "{ y = RandomNormalLike(x) }"),
        ("float[N, 2] x", '{ y = Einsum<equation="ij->j">(x) }'),
        ("float[N, 6] x", "<int64[2] s = {3, -1}> { y = Reshape(x, s) }"),
        ("float[N, 2] x", "<int64[4] p = {1, 0, -1, 0}> { y = Pad(x, p) }"),
        ("float[N, 2] x", "{ y = MeanVarianceNormalization<axes=[0]>(x) }"),
        ("float[N, 2] x", "{ y = com.microsoft.Unheard(x) }"),
        ("float[N, 2] x, float[2] z", "{ y = Add(x, z) }"),
    ],
)
def test_what_mixes_rows_is_refused(inputs: str, body: str) -> None:
    body = body.replace("{ y = CumSum", "<int64 axis = {0}> { y = CumSum")
    assert _reason(inputs, body) is not _PROVED


@pytest.mark.parametrize(
    ("body", "is_proved"),
    [
        ("{ y = PRelu(x, c) }", True),
        ("{ p = PRelu(c, x) y = Add(x, p) }", False),
        ("{ y = Gemm(x, w, c) }", True),
        ("{ g = Gemm(c, w, x) y = Add(x, g) }", False),
        ("{ y = Clip(x, low) }", True),
        ("{ k = Clip(low, x) y = Add(x, k) }", False),
    ],
)
def test_an_input_that_is_larger_than_the_first_is_refused(body: str, is_proved: bool) -> None:
    """ONNX Runtime infers the shape of the first input, and computes with that."""
    constants = "<float[1, 2] c = {1, 2}, float[2, 2] w = {1, 2, 3, 4}, float low = {0}>"
    assert (_reason("float[N, 2] x", constants + body) is _PROVED) is is_proved


def test_an_activation_with_a_scale_for_each_column_is_refused() -> None:
    body = (
        "<float s = {0.1}, uint8 z = {0}, float[2] each = {0.1, 0.2}, uint8[2] none = {0, 0}>"
        "{ y = QLinearMatMul(a, s, z, b, %s, s, z) }"
    )
    inputs = "uint8[N, 2, 2] a, uint8[N, 2, 2] b"
    assert _reason(inputs, body % "each, none") is not _PROVED
    assert _reason(inputs, body % "s, z") is _PROVED


@pytest.mark.parametrize(
    ("columns", "feature", "is_proved"), [("2", 1, True), ("2", 2, False), ("M", 1, False)]
)
def test_a_tree_reads_within_its_own_line(columns: str, feature: int, is_proved: bool) -> None:
    body = (
        "{ y = ai.onnx.ml.TreeEnsembleRegressor<n_targets=1, nodes_treeids=[0, 0, 0],"
        f"  nodes_nodeids=[0, 1, 2], nodes_featureids=[{feature}, 0, 0],"
        '  nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"], nodes_values=[0.5, 0.0, 0.0],'
        "  nodes_truenodeids=[1, 0, 0], nodes_falsenodeids=[2, 0, 0], target_treeids=[0, 0],"
        "  target_nodeids=[1, 2], target_ids=[0, 0], target_weights=[1.0, 2.0]>(x) }"
    )
    assert (_reason(f"float[N, {columns}] x", body) is _PROVED) is is_proved


def test_texts_that_may_be_dropped_are_refused() -> None:
    body = '{ y = StringNormalizer<case_change_action="LOWER"%s>(x) }'
    assert _reason("string[N] x", body % "") is _PROVED
    assert _reason("string[N] x", body % ', stopwords=["a"]') is not _PROVED


def test_an_output_that_is_the_same_for_all_rows_is_refused() -> None:
    assert _reason("float[N, 2] x", "<float[2] c = {1, 2}> { y = Identity(c) }") is not _PROVED


# Inputs without an axis for rows.


@pytest.mark.parametrize("shape", [(1, 2), (8, 2), (), None])
def test_an_input_without_an_axis_for_rows_is_refused(shape: Sequence[int | str] | None) -> None:
    assert proof.prove(_relu()).reason is _PROVED
    assert proof.prove(_relu(shape)).reason is not _PROVED


def test_a_model_without_inputs_is_refused() -> None:
    model = _of_nodes([helper.make_node("RandomNormal", [], ["y"], shape=[2, 2])])
    del model.graph.input[:]
    assert proof.prove(model).reason is not _PROVED


# Hints of the author.


def test_names_of_sizes_change_nothing() -> None:
    refused = [
        _reason(f"float[N, 2] x, float[{name}, N] z", "{ t = Transpose(z) y = Add(x, t) }")
        for name in ("N", "M")
    ]
    assert None not in refused
    assert refused[0] == refused[1]
    assert _reason("float[A, 2] x, float[B, 2] z", "{ y = Add(x, z) }") is _PROVED


def test_declared_shapes_of_tensors_change_nothing() -> None:
    body = "{ t = ReduceSum<keepdims=0>(x, axes) y = Add(x, t) }"
    model = _model("float[N, 2] x", "<int64[1] axes = {0}>" + body)
    refused = proof.prove(model).reason
    told = [
        helper.make_tensor_value_info("t", TensorProto.FLOAT, ["M", 2]),
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2]),
    ]
    model.graph.value_info.extend(told)
    assert proof.prove(model).reason == refused is not _PROVED
    model = _relu()
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, [7]))
    assert proof.prove(model).reason is _PROVED


@pytest.mark.parametrize(
    ("sizes", "is_proved"), [((3, 4), False), (("N", "S"), True), ((3, 4, 5), False)]
)
def test_a_declared_size_that_the_graph_does_not_show_is_refused(
    sizes: Sequence[int | str], is_proved: bool
) -> None:
    """ONNX Runtime puts [3, 4] for `Shape(t)`: of two rows of six it would make three of four."""
    body = (
        "<int64 last = {1}> { t = Relu(x) s = Shape(t) r = Reshape(x, s) c = CumSum(r, last)"
        "  s2 = Shape(x) y = Reshape(c, s2) }"
    )
    model = _model("float[N, S] x", body)
    assert proof.prove(model).reason is _PROVED
    model.graph.value_info.append(helper.make_tensor_value_info("t", TensorProto.FLOAT, sizes))
    assert (proof.prove(model).reason is _PROVED) is is_proved


_ONE_ROW = (
    "<int64 one = {1}, int64[1] z = {0}, int64[2] rest = {2, 4}, float[1, 1, 4] w = {1, 2, 3, 4},"
    " float[4] scale = {1, 2, 1, 1}, float[4] bias = {0, 0, 1, 0}>"
    "{ s = Shape(m) n = Gather(s, one) more = Add(n, one) d = Sub(more, n) u = Unsqueeze(d, z)"
    "  t = Concat<axis=0>(u, rest) p = Expand(w, t) a = Add(p, x)"
    "  l = LayerNormalization(a, scale, bias) y = Add(l, x) }"
)


@pytest.mark.parametrize(("name", "is_proved"), [("N", False), ("S", False), ("other", True)])
def test_a_name_of_two_sizes_that_differ_is_refused(name: str, *, is_proved: bool) -> None:
    """Of `p` with one row and three of `x`, ONNX Runtime would return one, and broadcast it."""
    model = _model("float[N, 2, 4] x, float[N, S] m", _ONE_ROW)
    assert proof.prove(model).reason is _PROVED
    model.graph.value_info.append(
        helper.make_tensor_value_info("p", TensorProto.FLOAT, [name, 2, 4])
    )
    assert (proof.prove(model).reason is _PROVED) is is_proved


def test_a_name_is_compared_with_the_size_that_the_graph_shows() -> None:
    body = "{ a = Relu(x) b = Transpose<perm=[1, 0]>(a) c = Relu(b) y = Transpose<perm=[1, 0]>(c) }"
    for names, is_proved in ((("S", "N"), True), (("N", "S"), False), (("T", "R"), True)):
        model = _model("float[N, S] x", body)
        told = helper.make_tensor_value_info("b", TensorProto.FLOAT, names)
        model.graph.value_info.append(told)
        assert (proof.prove(model).reason is _PROVED) is is_proved, names


def test_a_name_of_a_size_that_is_not_known_is_refused_if_another_has_it() -> None:
    """Calls choose how long the second size of `c` is: it may be that of `x`, or not."""
    body = "<float[1] one = {1}> { i = NonZero(one) c = Cast<to=1>(i) f = Relu(c) y = Relu(x) }"
    for name, is_proved in (("S", False), ("other", True)):
        model = _model("float[N, S] x", body)
        told = helper.make_tensor_value_info("c", TensorProto.FLOAT, [1, name])
        model.graph.value_info.append(told)
        assert (proof.prove(model).reason is _PROVED) is is_proved, name


def test_the_name_of_the_number_of_rows_is_of_no_other_size() -> None:
    assert _reason("float[N, S] x", "{ y = Relu(x) }") is _PROVED
    assert _reason("float[N, N] x", "{ y = Relu(x) }") is not _PROVED
    assert _reason("float[A, 2] x, float[B, A] z", "{ y = Add(x, z) }") is not _PROVED


def test_inputs_have_equal_sizes_where_they_have_one_name() -> None:
    """Calls share a run only if that is so (`batch_key`)."""
    body = (
        "<int64[1] z = {-1}> { a = Add(x, m) r = Reshape(a, z) h = Relu(r) s = Shape(x)"
        " y = Reshape(h, s) }"
    )
    assert _reason("float[N, S] x, float[N, S] m", body) is _PROVED
    assert _reason("float[N, S] x, float[N, T] m", body) is not _PROVED


def test_a_name_of_an_output_that_no_node_takes_misleads_nothing() -> None:
    model = _relu(("N", "S"))
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, "SN"))
    assert proof.prove(model).reason is _PROVED


# What readers of ONNX could differ about.


def test_a_constant_that_is_given_twice_is_refused() -> None:
    model = _model("float[N, 2] x", "<float[1] c = {1}> { y = Add(x, c) }")
    assert proof.prove(model).reason is _PROVED
    model.graph.initializer.append(numpy_helper.from_array(np.ones((3, 1), "f4"), "c"))
    assert proof.prove(model).reason is not _PROVED


def test_a_tensor_that_two_nodes_make_is_refused() -> None:
    nodes = [helper.make_node(op, ["x"], ["y"]) for op in ("Relu", "Neg")]
    assert proof.prove(_of_nodes(nodes)).reason is not _PROVED


def test_an_operator_set_with_two_versions_is_refused() -> None:
    model = _relu(opset=13)
    model.opset_import.append(helper.make_opsetid("ai.onnx", 13))
    assert proof.prove(model).reason is _PROVED
    model.opset_import.append(helper.make_opsetid("", 11))
    assert proof.prove(model).reason is not _PROVED


def test_a_constant_with_values_in_two_fields_is_refused() -> None:
    target = TensorProto(name="s", data_type=TensorProto.INT64, dims=[2], int64_data=[0, 2])
    node = helper.make_node("Reshape", ["x", "s"], ["y"])
    assert proof.prove(_of_nodes([node], constants=[target])).reason is _PROVED
    target.raw_data = np.array([2, -1]).tobytes()
    assert proof.prove(_of_nodes([node], constants=[target])).reason is not _PROVED


def test_an_attribute_that_is_given_twice_is_refused() -> None:
    node = helper.make_node("Softmax", ["x"], ["y"], axis=1)
    assert proof.prove(_of_nodes([node])).reason is _PROVED
    node.attribute.append(helper.make_attribute("axis", 0))
    assert proof.prove(_of_nodes([node])).reason is not _PROVED


def test_an_attribute_of_another_type_is_refused() -> None:
    node = helper.make_node("Softmax", ["x"], ["y"], axis=1)
    node.attribute[0].type = AttributeProto.INTS
    assert proof.prove(_of_nodes([node])).reason is not _PROVED


def test_an_operator_that_the_model_redefines_is_refused() -> None:
    function = '<domain: "%s", opset_import: ["": 18]> Relu (a) => (b) { b = Softmax<axis=0>(a) }'
    assert _reason("float[N, 2] x", "{ y = Relu(x) }", extra=function % "own") is _PROVED
    for domain in ("", "ai.onnx"):
        model = _model("float[N, 2] x", "{ y = Relu(x) }", extra=function % "own")
        model.functions[0].domain = domain
        assert proof.prove(model).reason is not _PROVED
    assert _reason("float[N, 2] x", "{ y = own.Relu(x) }", extra=function % "own") is not _PROVED


def test_nodes_that_are_out_of_order_are_refused() -> None:
    nodes = [helper.make_node("Relu", ["t"], ["y"]), helper.make_node("Neg", ["x"], ["t"])]
    assert proof.prove(_of_nodes(nodes)).reason is not _PROVED
    assert proof.prove(_of_nodes(nodes[::-1])).reason is _PROVED


@pytest.mark.parametrize("opset", [0, 6, 25, 99])
def test_versions_that_the_rules_do_not_know_are_refused(opset: int) -> None:
    assert proof.prove(_relu(opset=24)).reason is _PROVED
    assert proof.prove(_relu(opset=7)).reason is _PROVED
    assert proof.prove(_relu(opset=opset)).reason is not _PROVED


# Models that could keep the proof busy, or break it.


def _quick_reason(model: ModelProto) -> str | None:
    began = time.process_time()
    reason = proof.prove(model).reason
    assert time.process_time() - began < _QUICK_SECONDS
    return reason


def test_a_huge_graph_is_refused() -> None:
    model = _relu()
    model.graph.node.extend([NodeProto()] * 50_000)
    assert _quick_reason(model) is not _PROVED


def _nested_if(depth: int) -> GraphProto:
    """Return a branch that contains branches."""
    y = helper.make_tensor_value_info(f"y{depth}", TensorProto.FLOAT, None)
    node = helper.make_node("Identity", ["x"], [f"y{depth}"])
    if depth:
        inner = _nested_if(depth - 1)
        branches = {"then_branch": inner, "else_branch": inner}
        node = helper.make_node("If", ["flag"], [f"y{depth}"], **branches)
    return helper.make_graph([node], f"g{depth}", [], [y])


def test_deeply_nested_graphs_are_refused() -> None:
    flag = numpy_helper.from_array(np.array(True), "flag")
    nodes = [*_nested_if(9).node, helper.make_node("Identity", ["y9"], ["y"])]
    assert _quick_reason(_of_nodes(nodes, constants=[flag])) is not _PROVED


def _doubled(op: str, attributes: dict[str, int], count: int = 60) -> ModelProto:
    """Return a model whose sizes are combined with themselves again and again."""
    nodes = [helper.make_node("Shape", ["x"], ["s0"])]
    for index in range(count):
        names = [f"s{index}"] * 2
        nodes.append(helper.make_node(op, names, [f"s{index + 1}"], **attributes))
    nodes.append(helper.make_node("Expand", ["x", f"s{count}"], ["y"]))
    return _of_nodes(nodes, ("N", "M", "K"))


def test_squared_sizes_are_refused() -> None:
    assert _quick_reason(_doubled("Mul", {})) is not _PROVED


def test_sizes_that_are_added_to_themselves_are_refused() -> None:
    assert _quick_reason(_doubled("Add", {})) is not _PROVED


def test_lists_of_sizes_that_double_are_refused() -> None:
    assert _quick_reason(_doubled("Concat", {"axis": 0})) is not _PROVED


def test_a_tensor_of_very_many_axes_is_refused() -> None:
    nodes = [helper.make_node("Unsqueeze", ["x", "axes"], ["y"])]
    axes = numpy_helper.from_array(np.arange(2, 3000), "axes")
    assert _quick_reason(_of_nodes(nodes, constants=[axes])) is not _PROVED


@pytest.mark.parametrize(
    "node",
    [
        helper.make_node("Relu", [], ["y"]),
        helper.make_node("Relu", ["nowhere"], ["y"]),
        helper.make_node("Softmax", ["x"], ["y"], axis=99),
        helper.make_node("Transpose", ["x"], ["y"], perm=[0, 0]),
        helper.make_node("Concat", [], ["y"], axis=0),
        helper.make_node("Split", ["x"], ["y"] * 3, axis=1),
        helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2], strides=[0]),
        helper.make_node("Einsum", ["x"], ["y"], equation=",,->->"),
        helper.make_node("Constant", [], ["y"]),
        helper.make_node("Pad", ["x", "x", "x"], ["y"]),
    ],
    ids=lambda node: node.op_type,
)
def test_nodes_that_make_no_sense_are_refused(node: NodeProto) -> None:
    assert _quick_reason(_of_nodes([node], ("N", 1, 2))) is not _PROVED


def test_an_empty_model_is_refused() -> None:
    assert proof.prove(ModelProto()).reason is not _PROVED
