"""Loops over long lists."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

from gateway.flows.cel.conversion import CelValues, new_context
from gateway.flows.cel.expression import compile_expression
from gateway.flows.cel.library import compile_cel
from gateway.flows.cel.tokens import list_loops, tokenize
from gateway.flows.cel.values import ExpressionError

VALUES: dict[str, Any] = {"input": {"xs": list(range(1001)), "k": 7, "none": None, "t": "a,b"}}


@pytest.mark.parametrize(
    ("source", "loops"),
    [
        ("input.xs.map(x, x * 2)", ["input.xs.map(x, x * 2)"]),
        ("sum(input.xs.map(x, x)) + 1", ["input.xs.map(x, x)"]),
        ("input.xs.filter(x, x > 1).map(x, x)[0]", ["input.xs.filter(x, x > 1).map(x, x)"]),
        ("a.map(x, x) + b[0].filter(y, y)", ["a.map(x, x)", "b[0].filter(y, y)"]),
        ("[a.map(x, b.map(y, y + x))]", ["a.map(x, b.map(y, y + x))"]),
        ("a.exists(x, b.map(y, x + y) == [])", []),
        ("a.map(x, x).exists(x, b.map(y, x) == [])", ["a.map(x, x)"]),
        ("split(a, ',').map(x, x)", ["split(a, ',').map(x, x)"]),
        ("(c ? a : b).map(x, x)", ["(c ? a : b).map(x, x)"]),
        ("c ? a.map(x, 1) : [1, 2].map(x, 2)", ["a.map(x, 1)", "[1, 2].map(x, 2)"]),
        ("'a.map(x, x)' + a.map", []),
        ("x in a.map(x, x)", ["a.map(x, x)"]),
        ("x in [1].map(x, x)", ["[1].map(x, x)"]),
        ("a // .map(\n.map(x, x)", ["a // .map(\n.map(x, x)"]),
    ],
)
def test_the_outermost_loops_are_found(source: str, loops: list[str]) -> None:
    found = list(list_loops(tokenize(source)))
    assert [source[loop.start : loop.end] for loop in found] == loops
    assert all(source[loop.dot : loop.end].lstrip().startswith((".", "//")) for loop in found)


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
        "split(input.t, ',').map(x, x + x)",
    ],
)
def test_chunks_give_the_same_result(source: str) -> None:
    whole = compile_cel(source).execute(new_context(VALUES))
    assert compile_expression(source).evaluate(VALUES) == whole


def test_a_list_of_a_hundred_thousand_is_fast() -> None:
    values = {"input": {"xs": list(range(100_000))}}
    doubled = compile_expression("input.xs.map(x, x * 2)").evaluate(values)
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
def test_chunks_fail_with_the_same_error(source: str, words: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_expression(source).evaluate(VALUES)
    assert words in str(caught.value)


def test_a_failed_loop_leaves_no_values_behind() -> None:
    """The library's objects, which refer to them, are not seen by the garbage collector."""
    expression = compile_expression("1 + size(input.xs.map(x, x / 0))")
    values = CelValues(VALUES)
    kept = weakref.ref(values)
    with pytest.raises(ExpressionError, match="division by zero"):
        expression.evaluate(values)
    del values
    gc.collect()
    assert kept() is None
