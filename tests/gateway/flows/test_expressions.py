"""Expressions: paths, CEL, and errors."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.flows.cel.conversion import to_json
from gateway.flows.cel.expression import CelExpression, compile_expression
from gateway.flows.cel.library import OptionalValue
from gateway.flows.cel.local import ConstantExpression, PathExpression, local_expression
from gateway.flows.cel.values import ExpressionError, ExpressionMap
from gateway.flows.programs import Program

VALUES: dict[str, Any] = {
    "input": {"x": 3, "y": 2.5, "name": "Ada", "xs": [1, 2, 3], "rows": [{"n": 1}, {"n": 2}]},
    "model": {"label": [1], "probabilities": [[0.2, 0.8]]},
    "skipped": None,
}


def value(source: str) -> Any:
    """Evaluate an expression with the values above."""
    return compile_expression(source).evaluate(VALUES)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("input.x", 3),
        (" input.xs ", [1, 2, 3]),
        ('input["name"]', "Ada"),
        ("skipped.x.y", None),
        ("skipped", None),
        ("true", True),
        ("null", None),
        ("1 + 2", 3),
        ("input.x * 2", 6),
        ("double(input.x) * 2.5", 7.5),
        ("input.xs[0]", 1),
        ("model.probabilities[0][1] > 0.5 ? 'yes' : 'no'", "yes"),
        ("input.xs.map(v, v * 2)", [2, 4, 6]),
        ("input.rows.map(row, row.n)", [1, 2]),
        ("input.xs.filter(v, v > 1)", [2, 3]),
        ("input.xs.exists(v, v == 3) && size(input.xs) == 3", True),
        ("has(input.nothing) ? input.nothing : 'none'", "none"),
        ("skipped == null ? input.x : skipped.x", 3),
        ("{'a': input.x, 'b': [input.name + '!']}", {"a": 3, "b": ["Ada!"]}),
        ("input.name.matches('^A')", True),
        ("'x' in input", True),
        ("string(input.x) + 'a'", "3a"),
        ('"input.zzz"', "input.zzz"),
        ("duration('90s')", "90s"),
        ("timestamp('2026-01-02T03:04:05Z')", "2026-01-02T03:04:05Z"),
        ("{1: 2}", {"1": 2}),
    ],
)
def test_expression_values(source: str, expected: Any) -> None:
    assert value(source) == expected


def test_plain_paths_are_looked_up_and_not_converted() -> None:
    assert isinstance(compile_expression("input.xs"), PathExpression)
    assert value("input.xs") is VALUES["input"]["xs"]
    assert isinstance(compile_expression("input.xs[0]"), CelExpression)


@pytest.mark.parametrize("source", ["7", "-2.5", "'a'", '"b c"', "true", "null", " 'x' "])
def test_constants_are_no_programs(source: str) -> None:
    constant = local_expression(source)
    assert isinstance(constant, ConstantExpression)
    # as CEL evaluates it
    assert constant.evaluate({}) == compile_expression(f"[{source}]").evaluate({})[0]


@pytest.mark.parametrize("source", [r"'a\n'", "'a' + 'b'", "1e3", "'''a'''", "--1", "[1]", "7u"])
def test_other_literals_are_programs(source: str) -> None:
    assert local_expression(source) is None


@pytest.mark.parametrize(
    ("source", "reads"),
    [
        ("input.x + input.y.z", {"input": {"x", "y"}}),
        ("size(input)", {"input": None}),
        ("input.contains(1)", {"input": None}),
        ("input['x'] + 1", {"input": None}),
        ("[input].map(i, i.x)", {"input": None}),
        ("other.input.x + .model . y", {"model": None}),
        ("other .input.x", {"input": {"x"}}),
        ("inputs.x + xinput.y", {}),
        ("(input.x) + f(model.y)[input.z]", {"input": {"x", "z"}, "model": {"y"}}),
    ],
)
def test_programs_get_what_their_expressions_may_read(source: str, reads: Any) -> None:
    known = {"id": "n", "type": "transform"}
    program = Program(known, [source], before=[], earlier={"input", "model"})
    assert program.reads == reads


@pytest.mark.parametrize(
    ("source", "roots"),
    [
        ("input.x", {"input"}),
        ("input.xs.map(v, v * model.k)", {"input", "model"}),
        ("type(input.x) == int", {"input"}),
        ("1 + 2", set()),
        ("'model.x' + input.name // of model", {"input"}),
        ("{'a': b.c}[d.e]", {"b", "d"}),
        ("a.exists(v, b.all(w, v == w && c))", {"a", "b", "c"}),
    ],
)
def test_the_nodes_an_expression_reads_are_known_at_compile_time(
    source: str, roots: set[str]
) -> None:
    assert compile_expression(source).roots == roots


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("", ""),
        ("input.", ""),
        ("1 +", ""),
        ("input x", ""),
        ("(input.x", ""),
        ("'open", ""),
        ("shout(input.name)", "unknown function 'shout'"),
        ("input.name.shout()", "unknown function 'shout'"),
        ("x" * 5_000 + " + 1", "too long"),
        ("+".join(["1"] * 900), "too long"),
        ("(" * 30 + "1" + ")" * 30, "nested deeper"),
        ("xs.map(1, 2)", ""),
    ],
)
def test_invalid_expressions_are_refused_at_compile_time(source: str, words: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_expression(source)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("input.z", "input has no 'z', only 'x', 'y', 'name', 'xs', 'rows'"),
        ("input.x.y", "input.x: expected an object with 'y', got a number"),
        ("input.z + 1", ""),
        ("input.x + input.y", "CEL does not mix integers and doubles"),
        ("input.xs[7]", ""),
        ("size(input.x)", "'size' does not take values of these types"),
        ("1 / 0", ""),
        ("9223372036854775807 + input.x", ""),
        ("int(input.name)", ""),
    ],
)
def test_evaluation_errors_name_the_reason(source: str, words: str) -> None:
    expression = compile_expression(source)
    with pytest.raises(ExpressionError) as caught:
        expression.evaluate(VALUES)
    assert words in str(caught.value)
    assert source in str(caught.value)


def test_fields_are_evaluated_together() -> None:
    sources = {"a": "input.x", "b": "input.x + 1", "c": "size(model.label)", "d": "7"}
    fields = ExpressionMap({name: compile_expression(source) for name, source in sources.items()})
    assert fields.evaluate(VALUES) == {"a": 3, "b": 4, "c": 1, "d": 7}


def test_non_json_values_are_converted() -> None:
    assert to_json(timedelta(seconds=1.5)) == "1.5s"
    assert to_json({True: b"\x00\xff"}) == {"true": "AP8="}
    assert to_json(OptionalValue.of(3)) == 3
    assert to_json(OptionalValue.none()) is None
    with pytest.raises(ExpressionError, match="a set cannot be converted to JSON"):
        to_json({1})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(json_values)
def test_json_round_trips_through_cel(sent: Any) -> None:
    expression = compile_expression("true ? input.v : null")
    assert _same(expression.evaluate({"input": {"v": sent}}), sent)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    return type(one) is type(other) and bool(one == other)


@given(st.text(alphabet="ab.()[]{}'\"\\ ,+-*/?:&|!<>=1in\n", max_size=40))
def test_any_text_compiles_or_is_refused(text: str) -> None:
    try:
        expression = compile_expression(text)
    except ExpressionError:
        return
    try:
        expression.evaluate(dict.fromkeys(expression.roots))
    except ExpressionError:
        return
