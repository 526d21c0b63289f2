"""Rules with mistakes that someone could make. The checks on real runs must notice each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from unittest import mock

from inference_server.runtime.rows import (
    broadcasting,
    declared,
    equations,
    gathering,
    microsoft,
    products,
    proof,
    quantizing,
    reducing,
    reshaping,
    selecting,
    slicing,
)
from inference_server.runtime.rows.nodes import Node, Rule
from inference_server.runtime.rows.polynomials import Polynomial, unfollowed
from inference_server.runtime.rows.tensors import ONE, RowAxis, Tensor, row_axis, tensor

_MODULES = (
    *(broadcasting, declared, equations, gathering, microsoft, products, quantizing, reducing),
    *(reshaping, selecting, slicing),
)


@dataclass(frozen=True)
class BrokenRule:
    """A mistake.

    Attributes:
        rules: in place of the rules of these operators.
        names: in place of what has these names in the modules of rules.
        hostile: models in ONNX's language that show it, where random graphs rarely do.
    """

    rules: Mapping[str, Rule] = field(default_factory=dict)
    names: Mapping[str, object] = field(default_factory=dict)
    hostile: Sequence[str] = ()


def hostile(name: str) -> Iterator[tuple[str, str]]:
    """Return the name and a model for each model by hand that shows a broken rule."""
    return ((name, text) for text in _BROKEN[name].hostile)


@contextmanager
def broken(name: str) -> Iterator[None]:
    """Put a broken rule in place."""
    rule = _BROKEN[name]
    with ExitStack() as patches:
        patches.enter_context(mock.patch.dict(_standard_rules(), rule.rules))
        for attribute, value in rule.names.items():
            for module in _MODULES:
                if hasattr(module, attribute):
                    patches.enter_context(mock.patch.object(module, attribute, value))
        yield


def _standard_rules() -> dict[str, Rule]:
    rules = proof.RULES[""]
    assert isinstance(rules, dict)
    return rules


def _unchanged(node: Node) -> Tensor:
    """Pass a tensor on as if the operator worked on each element."""
    value = node.input(0)
    return tensor(value.shape, value.rows)


_reduced = reducing._reduced


def _reduced_over_rows(value: Tensor, axes: Sequence[int], *, keep: int) -> Tensor:
    """Take a sum over all rows for something that is the same for all."""
    is_sum = value.rows is not None and value.rows.axis in axes
    return _reduced(replace(value, rows=None) if is_sum else value, axes, keep=keep)


_broadcast = broadcasting.broadcast


def _broadcast_with_any_constant(values: Sequence[Tensor]) -> Tensor:
    """Do not ask how many values a constant has along the rows' axis."""
    places = [value.rows.axis - value.rank for value in values if value.rows is not None]
    return _broadcast([_single_at(value, places[0]) if places else value for value in values])


def _single_at(value: Tensor, from_end: int) -> Tensor:
    axis = value.rank + from_end
    if value.rows is not None or axis < 0:
        return value
    return tensor([ONE if place == axis else size for place, size in enumerate(value.known_shape)])


def _concat_beside_constants(node: Node) -> Tensor:
    """Do not ask whether all parts have rows."""
    rows = row_axis(node.values)
    if rows is None:
        return selecting.concat(node)
    sizes = [
        rows.size if place == rows.axis else size
        for place, size in enumerate(node.values[0].known_shape)
    ]
    values = [value if value.rows else tensor(sizes, rows) for value in node.values]
    return selecting.concat(replace(node, inputs=values))


def _concat_of_rows(node: Node) -> Tensor:
    """Take rows one after the other for rows that are mixed like the teeth of two combs."""
    rows = row_axis(node.values)
    axis = node.input(0).axis(node.integer("axis", 1))
    if rows is None or rows.axis != axis or any(value.rows is None for value in node.values):
        return selecting.concat(node)
    count = sum(1 for _ in node.values)
    wide = replace(rows, inner=rows.inner * Polynomial.of({(): count}))
    sizes = list(node.input(0).known_shape)
    sizes[axis] = wide.size
    return tensor(sizes, wide)


def _slice_backwards(node: Node) -> Tensor:
    """Take a slice of all places for the same, whatever its steps."""
    steps = node.input(4).integers() if node.has(4) else None
    if steps is not None and steps[0] < 0:
        return _unchanged(node)
    return slicing.slice_(node)


def _gather_a_row(node: Node) -> Tensor:
    """Take one row that is chosen by its number for the same to all."""
    value, indices = node.input(0), node.input(1)
    axis = value.axis(node.integer("axis", 0))
    if value.rows is not None and value.rows.axis == axis and indices.rows is None:
        return gathering.gather(replace(node, inputs=[replace(value, rows=None), indices]))
    return gathering.gather(node)


def _gather_by_rows(node: Node) -> Tensor:
    """Let values of a row choose among those of all rows."""
    value, indices = node.input(0), node.input(1)
    if value.rows is not None and indices.rows is not None:
        without = tensor([ONE if size.has_rows else size for size in value.known_shape])
        return gathering.gather(replace(node, inputs=[without, indices]))
    return gathering.gather(node)


def _pool_with_indices(node: Node) -> list[Tensor]:
    """Take the indices of MaxPool for places within a row."""
    (result,) = products.pool(replace(node, outputs=1))
    return [result, result][: node.outputs]


def _reshaped_without_prefix(
    node: Node, value: Tensor, sizes: Sequence[Polynomial | None]
) -> Tensor:
    """Do not compare what lies before the rows."""
    known = [size if size is not None else unfollowed(node.name, 0) for size in sizes]
    places = [axis for axis, size in enumerate(known) if size.has_rows]
    inner = known[places[0]].per_row() if len(places) == 1 else None
    if value.rows is None or inner is None:
        return _reshaped(node, value, sizes)
    return tensor(known, RowAxis(places[0], ONE, inner))


_reshaped = reshaping._reshaped


def _resized_at_any_rank(node: Node) -> Tensor:
    """Take a factor of 1 for an axis that is left alone."""
    value = node.input(0)
    factors = node.input(2) if node.has(2) else None
    is_one = factors is not None and factors.entries is not None and factors.entries[:1] == (ONE,)
    if value.rows is None or value.rows.axis or not is_one:
        return selecting.resize(node)
    sizes = [unfollowed(node.name, axis) for axis in range(1, value.rank)]
    return tensor([value.rows.size, *sizes], value.rows)


def _scaled_for_each_row(node: Node) -> list[Tensor]:
    """Take the scale for the same for all rows."""
    value = node.input(0)
    return [tensor(value.shape, value.rows), tensor([]), tensor([])][: node.outputs]


def _multiplied_over_rows(left: Tensor, right: Tensor) -> Tensor:
    """Take a sum over all rows for something that is the same for all."""
    return _multiplied(_summed(left, left.rank - 1), _summed(right, max(0, right.rank - 2)))


_multiplied = products.multiplied


def _summed(value: Tensor, axis: int) -> Tensor:
    if value.rows is None or value.rows.axis != axis:
        return value
    return tensor([ONE if place == axis else size for place, size in enumerate(value.known_shape)])


def _pad_that_keeps_the_size(node: Node) -> Tensor:
    """Look at the sum of both pads of an axis."""
    value = node.input(0)
    pads = node.numbers(1, "pads") or []
    rank = value.rank
    if value.rows is not None and not sum(pads[value.rows.axis :: rank]):
        pads[value.rows.axis :: rank] = [0, 0]
        entries = tuple(Polynomial.of({(): pad}) for pad in pads)
        inputs = [value, replace(node.input(1), entries=entries), *node.inputs[2:]]
        return selecting.pad(replace(node, inputs=inputs))
    return selecting.pad(node)


def _recurrent_over_rows(node: Node) -> list[Tensor]:
    """Take the axis of the steps for that of the rows."""
    value = node.input(0)
    if value.rows is None or value.rows.axis:
        return products.recurrent(node)
    steps, batch = value.known_shape[:2]
    directions, _, features = node.input(2).known_shape
    every = tensor([steps, directions, batch, features], value.rows)
    return [every, *[tensor([directions, batch, features])] * 2][: node.outputs]


def _range_of_rows(node: Node) -> Tensor:
    """Take the numbers of the rows for the rows."""
    limit = node.input(1).entries
    if limit and limit[0] is not None and limit[0].per_row() is not None:
        return tensor(limit, RowAxis(0, ONE, limit[0].per_row() or ONE))
    return reshaping.number_range(node)


def _number_of_rows_as_value(node: Node) -> Tensor:
    """Do not ask whether the number of rows is in a tensor."""
    return broadcasting.broadcast([replace(value, entries=None) for value in node.values])


def _tile_of_rows(node: Node) -> Tensor:
    """Take rows that are repeated as a whole for each repeated in its place."""
    found = selecting.tile(node)
    if found.rows is None:
        return found
    return replace(found, rows=replace(found.rows, outer=ONE, inner=_all_places(found.rows)))


def _all_places(rows: RowAxis) -> Polynomial:
    return rows.outer * rows.inner


def _einsum_over_rows(node: Node) -> Tensor:
    """Take a sum over all rows for something that is the same for all."""
    terms, _, result = node.text("equation", "").partition("->")
    lost = [
        value.rows is not None and term[value.rows.axis] not in result
        for term, value in zip(terms.split(","), node.values, strict=True)
    ]
    if not any(lost):
        return equations.einsum(node)
    values = [
        _summed(value, value.rows.axis) if value.rows is not None else value
        for value in node.values
    ]
    return equations.einsum(replace(node, inputs=values))


def _any_places(value: Tensor, rows: RowAxis, indices: Tensor, of_indices: RowAxis) -> Tensor:
    """Do not ask which places the indices of a row can have."""
    axis, sizes = rows.axis, value.known_shape
    shape = [*sizes[:axis], *indices.known_shape, *sizes[axis + 1 :]]
    return tensor(shape, replace(of_indices, axis=axis + of_indices.axis))


def _believed(declared: object) -> None:
    """Do not compare what is declared with the graph."""


def _model(opset: int, inputs: str, body: str) -> str:
    """Return a model in ONNX's language."""
    return f'<ir_version: 8, opset_import: ["": {opset}]> g ({inputs}) => (y) {body}'


_BROKEN: Mapping[str, BrokenRule] = {
    "softmax over rows": BrokenRule({"Softmax": _unchanged}),
    "softmax of opset 11 along one axis": BrokenRule(
        names={"_SOFTMAX_OF_ONE_AXIS": 1},
        hostile=[
            _model(
                11,
                "float[N, 2, 3] x",
                "{ t = Transpose<perm=[1, 2, 0]>(x) y = Softmax<axis=1>(t) }",
            ),
        ],
    ),
    "reduction over rows": BrokenRule(names={"_reduced": _reduced_over_rows}),
    "a constant with a value for each row": BrokenRule(
        names={"broadcast": _broadcast_with_any_constant},
        rules={"Sum": lambda node: _broadcast_with_any_constant(node.values)},
        hostile=[
            _model(13, "float[N, 2] x", "<float[3, 1] c = {1, 2, 3}> { y = Add(x, c) }"),
        ],
    ),
    "running sum along rows": BrokenRule({"CumSum": _unchanged}),
    "a constant concatenated beside rows": BrokenRule(
        {"Concat": _concat_beside_constants},
        hostile=[
            _model(
                13,
                "float[N, 1] x",
                "<float[3, 1] c = {1, 2, 3}> { y = Concat<axis=1>(x, c) }",
            ),
        ],
    ),
    "rows concatenated with rows": BrokenRule({"Concat": _concat_of_rows}),
    "rows in reverse": BrokenRule({"Slice": _slice_backwards}),
    "a row by its number": BrokenRule({"Gather": _gather_a_row}),
    "a row chosen by another": BrokenRule(
        {"Gather": _gather_by_rows},
        hostile=[_model(17, "float[N, 2] x, int64[N] j", "{ y = Gather(x, j) }")],
    ),
    "indices of MaxPool": BrokenRule({"MaxPool": _pool_with_indices}),
    "reshape without its prefix": BrokenRule(names={"_reshaped": _reshaped_without_prefix}),
    "interpolation of rank 3": BrokenRule({"Resize": _resized_at_any_rank}),
    "one scale for all rows": BrokenRule({"DynamicQuantizeLinear": _scaled_for_each_row}),
    "matrix product over rows": BrokenRule(
        names={"multiplied": _multiplied_over_rows},
        hostile=[_model(17, "float[N, 2] x", "{ t = Transpose(x) y = MatMul(t, x) }")],
    ),
    "a scale for each row": BrokenRule(
        {"QuantizeLinear": _unchanged, "DequantizeLinear": _unchanged},
        hostile=[
            _model(
                13,
                "float[N, 2] x",
                "<float[3] s = {0.1, 0.2, 0.3}, uint8[3] z = {9, 9, 9}>"
                "{ q = QuantizeLinear<axis=0>(x, s, z) y = DequantizeLinear<axis=0>(q, s, z) }",
            ),
        ],
    ),
    "rows moved by pads": BrokenRule(
        {"Pad": _pad_that_keeps_the_size},
        hostile=[
            _model(13, "float[N, 2] x", "<int64[4] p = {1, 0, -1, 0}> { y = Pad(x, p) }"),
        ],
    ),
    "steps of a recurrent network": BrokenRule(
        {"LSTM": _recurrent_over_rows, "GRU": _recurrent_over_rows, "RNN": _recurrent_over_rows},
    ),
    "numbers of rows": BrokenRule(
        {"Range": _range_of_rows},
        hostile=[
            _model(
                13,
                "float[N, 2] x",
                "<int64 zero = {0}, int64 one = {1}>"
                "{ s = Shape(x) n = Gather(s, zero) y = Range(zero, n, one) }",
            ),
        ],
    ),
    "the number of rows as a value": BrokenRule(
        {"Cast": _number_of_rows_as_value},
        hostile=[_model(13, "float[N, 2] x", "{ s = Shape(x) y = Cast<to=1>(s) }")],
    ),
    "order of repeated rows": BrokenRule({"Tile": _tile_of_rows}),
    "einsum over rows": BrokenRule({"Einsum": _einsum_over_rows}),
    "an index beyond its row": BrokenRule(
        names={"_own_places": _any_places},
        hostile=[
            _model(
                17,
                "float[N, 3] x, int64[N] j",
                "<int64 zero = {0}, int64 one = {1}, int64[1] three = {3}, int64[1] all = {-1}>"
                "{ s = Shape(x) n = Gather(s, zero) i = Range(zero, n, one) k = Mul(i, three)"
                "  at = Add(k, j) flat = Reshape(x, all) y = Gather(flat, at) }",
            ),
        ],
    ),
    "tuples that do not begin with the row": BrokenRule(names={"_begin_with_rows": lambda _: True}),
    "names of sizes": BrokenRule(
        names={"check": _believed},
        hostile=[
            _model(
                17,
                "float[N, 2, 4] x, float[N, S] m",
                "<int64 one = {1}, int64[1] z = {0}, int64[2] rest = {2, 4},"
                " float[1, 1, 4] w = {1, 2, 3, 4}, float[4] v = {1, 2, 1, 1}, float[N, 2, 4] p>"
                "{ s = Shape(m) n = Gather(s, one) more = Add(n, one) d = Sub(more, n)"
                "  u = Unsqueeze(d, z) t = Concat<axis=0>(u, rest) p = Expand(w, t) a = Add(p, x)"
                "  l = LayerNormalization(a, v, v) y = Add(l, x) }",
            ),
        ],
    ),
    "normalisation over rows": BrokenRule(
        {"MeanVarianceNormalization": _unchanged, "LpNormalization": _unchanged}
    ),
}
NAMES: Sequence[str] = tuple(_BROKEN)
