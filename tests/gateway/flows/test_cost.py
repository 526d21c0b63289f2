"""Cost limits and chunked evaluation of expressions."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.flows.cel.ast import parse_ast
from gateway.flows.cel.chunked_eval import CHUNK_SIZE, ChunkedExpression
from gateway.flows.cel.cost import CostLimitError, check_cost, estimate_cost, measure
from gateway.flows.cel.expression import compile_expression
from gateway.flows.cel.library import Context, compile_cel
from gateway.flows.cel.values import ExpressionError

NUMBERS = {"xs": list(range(100_000)), "few": [1, 2, 3], "k": 2, "text": "x" * 1_000_000}
MATRIX = {"m": [[float(x) for x in range(100)] for _ in range(100)]}
ROWS = {"rows": [{"cells": [1, 2, 3], "name": f"row {n}"} for n in range(10_000)]}


def allowed(source: str, data: Any) -> bool:
    """Whether the cost limit allows the expression."""
    try:
        check_cost(estimate_cost(parse_ast(source), {"input": data}, chunk_size=CHUNK_SIZE))
    except CostLimitError:
        return False
    return True


@pytest.mark.parametrize(
    ("source", "data"),
    [
        ("input.xs.map(x, x * 2)", NUMBERS),
        ("input.xs.map(x, x * input.k + 1)", NUMBERS),
        ("input.xs.filter(x, x > 3).map(x, x + 1)", NUMBERS),
        ("input.xs.filter(x, x in input.few)", NUMBERS),
        ("input.few.map(x, input.few.map(y, x * y))", NUMBERS),
        ("input.m.map(row, row.map(x, x * 2.0))", MATRIX),
        ("input.rows.map(row, row.cells.map(c, c + 1))", ROWS),
        ("input.rows.filter(row, row.name == 'row 7')[0].cells", ROWS),
        ("input.text + input.text", NUMBERS),
        ("input.rows.filter(row, row.name.matches('^row 7'))", ROWS),
        ("input.few.filter(x, input.text.matches(string(x)))", NUMBERS),
    ],
)
def test_loops_over_large_lists_are_allowed(source: str, data: Any) -> None:
    assert allowed(source, data)


@pytest.mark.parametrize(
    ("source", "data"),
    [
        ("input.xs.map(x, input.xs.map(y, x * y))", NUMBERS),
        ("input.xs.exists(x, input.xs.exists(y, x + y == -1))", NUMBERS),
        ("input.xs.map(x, input.xs + [x])", NUMBERS),
        (r"input.rows.filter(row, row.name.matches('(\\w{25}){4}'))", ROWS),
        (r"input.rows.filter(row, matches(row.name, r'\w{100}'))", ROWS),
        ("input.rows.filter(row, row.name.matches(row.name))", ROWS),
        ("input.rows.filter(row, row.name.matches('a' + 'b'))", ROWS),
        ("input.xs.map(x, input.text + string(x))", NUMBERS),
        ("input.m.map(a, input.m.map(b, a + b))", MATRIX),
        ("[input.text].map(t, input.xs.map(x, t + 'x'))", NUMBERS),
        ("input.rows.map(a, input.rows.filter(b, a.name == b.name))", ROWS),
        ("input['xs'].map(x, input['xs'].map(y, 1))", NUMBERS),
        ("(true ? input.xs : []).map(x, (input.xs).map(y, 1))", NUMBERS),
        ("input.xs\n.map (x, input.xs // again\n . map(y, 1))", NUMBERS),
        (
            "[1,2,3,4,5,6,7,8].map(a, [1,2,3,4,5,6,7,8].map(b, [1,2,3,4,5,6,7,8].map(c, "
            "[1,2,3,4,5,6,7,8].map(d, [1,2,3,4,5,6,7,8].map(e, [1,2,3,4,5,6,7,8].map(f, "
            "[1,2,3,4,5,6,7,8].map(g, 1)))))))",
            {},
        ),
    ],
)
def test_expensive_loops_are_refused(source: str, data: Any) -> None:
    assert not allowed(source, data)
    with pytest.raises(ExpressionError, match="its loops could take"):
        compile_expression(source).evaluate({"input": data})


def test_sizes_are_measured_by_nesting_level() -> None:
    assert measure(1) == [(1, 0)]
    assert measure("x" * 32) == [(2, 0)]
    assert measure([1, 2, 3]) == [(4, 3), (1, 0)]
    assert measure([[1, 2], [3]]) == [(6, 2), (3, 2), (1, 0)]
    assert measure({"a": {"b": [1]}, "c": 1}) == [(5, 2), (3, 1), (2, 1), (1, 0)]
    assert measure([]) == [(1, 0)]


_loops = st.recursive(
    st.sampled_from(["1", "input.k", "input.few", "x", "'t'"]),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda pair: f"[{pair[0]}, {pair[1]}]"),
        inner.map(lambda body: f"input.few.map(x, {body})"),
        inner.map(lambda body: f"[1, 2].filter(x, size([{body}]) > 0)"),
        st.tuples(inner, inner).map(lambda pair: f"[{pair[0]}].map(x, {pair[1]})"),
    ),
    max_leaves=12,
)


@given(_loops)
def test_no_result_is_larger_than_its_estimated_cost(source: str) -> None:
    source = f"[0].map(x, {source})"
    data = {"k": 2, "few": [1, 2, 3]}
    try:
        result = compile_expression(source).evaluate({"input": data})
    except ExpressionError:
        return
    assert measure(result)[0].weight <= estimate_cost(parse_ast(source), {"input": data})


@pytest.mark.parametrize(
    "source",
    [
        "input.xs.map(x, x * 2)",
        "size(input.xs.filter(x, x > 500)) + size(input.xs.map(x, 1))",
        "input.xs.filter(x, x % 2 == 0).map(x, x + input.k)",
        "{'a': input.xs.map(x, x), 'b': input.k}",
        "input.xs.map(x, [x, x].map(y, y + 1))",
        "input.none == null ? [] : input.none.map(x, x)",
        "input.xs.filter(x, x < 2)[0]",
        "input.xs.exists(x, x == 1) && input.xs.map(x, x).exists(x, x == 2)",
        "sum(input.xs.map(x, x * 2))",
    ],
)
def test_chunked_evaluation_gives_the_same_result(source: str) -> None:
    """Evaluate an expression as a whole, and in chunks."""
    data = {"input": {"xs": list(range(1001)), "k": 7, "none": None}}
    expression = compile_expression(source)
    found = parse_ast(source)
    pieces = ChunkedExpression.of(source, found, compile_expression)
    assert pieces is not None
    program = compile_cel(source)
    whole = program.execute(Context(variables=data, functions={"sum": sum}))
    assert pieces.evaluate(data) == whole == expression.evaluate(data)


def test_a_list_of_a_hundred_thousand_is_fast() -> None:
    doubled = compile_expression("input.xs.map(x, x * 2)").evaluate({"input": NUMBERS})
    assert doubled == [x * 2 for x in range(100_000)]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("input.xs.map(x, x + 'a')", "operand types do not match"),
        ("[input.xs.map(x, x.y)]", "operand types do not match"),
        ("[input.xs.map(x, x), input.nothing.map(x, x)]", "has no 'nothing'"),
        ("[input.xs.map(x, x), input.k.map(x, x)]", "operand types do not match"),
    ],
)
def test_chunked_evaluation_fails_with_the_same_error(source: str, words: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_expression(source).evaluate({"input": {"xs": list(range(1001)), "k": 7}})
    assert words in str(caught.value)
