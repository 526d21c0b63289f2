"""What a run sees of its evaluators."""

from __future__ import annotations

import json
from time import monotonic
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.children.metrics import ChildMetrics
from gateway.errors import GatewayError
from gateway.flows.cel.expression import compile_expression
from gateway.flows.cel.numeric import NeedsEvaluatorError, numeric_expression
from gateway.flows.evaluation import Evaluator
from gateway.flows.evaluator_process import answer
from gateway.flows.processes import build_flow_processes
from gateway.flows.programs import Program
from gateway.flows.result import FlowResult
from gateway.settings import Settings
from telemetry.instruments import Registry
from tests.gateway.flows.fake_ports import EVALUATOR, FUNCTIONS, FakePorts, InProcessPool
from tests.gateway.flows.flow_builder import (
    INPUT,
    OUTPUT,
    build_flow,
    compiled,
    completed,
    run,
    transform,
)
from tests.timing import TIMEOUT_SECONDS

SIZE = transform("size", n="size(input.text)")
LARGE = {"text": "x" * 9_000_000}
PROGRAM = Program(SIZE, ["size(input.text)"], before=["input"], earlier={"input"})


def test_plain_paths_and_constants_need_no_evaluator() -> None:
    plain = transform("plain", a="input.a", b="'text'", c="2.5", d="null")
    assert not compiled(
        build_flow("input>plain plain>output", INPUT, plain, OUTPUT)
    ).needs_evaluator
    assert compiled(build_flow("input>size", INPUT, SIZE)).needs_evaluator


class CountingEvaluator(Evaluator):
    """Counts the nodes that it evaluates."""

    def __init__(self) -> None:
        """Evaluate in this process."""
        super().__init__(InProcessPool(answer), FUNCTIONS, "a tenant")
        self.count = 0

    async def evaluate(self, *program: Any) -> Any:
        """See EvaluatorPort."""
        self.count += 1
        return await super().evaluate(*program)


async def calculate(expression: str, values: dict[str, Any]) -> tuple[FlowResult, int]:
    """Return the result of a flow that evaluates `expression`, and how often it was evaluated."""
    evaluator = CountingEvaluator()
    flow = build_flow("input>n n>output", INPUT, transform("n", v=expression), OUTPUT)
    return await run(flow, values, world=FakePorts(evaluator=evaluator)), evaluator.count


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("input.x * 2", 42),
        ("double(input.x) / 2.0 - 0.5", 10.0),
        ("input.x > 20 && !input.is_new ? input.x % 4 : -1", 1),
        ("input.score >= 0.5", True),
        ("1 + 2", 3),
        ("input.part.a + input.part.b", 3),
    ],
)
async def test_calculations_with_numbers_need_no_evaluator(expression: str, expected: Any) -> None:
    values = {"x": 21, "score": 0.5, "is_new": False, "part": {"a": 1, "b": 2}}
    outcome, evaluations = await calculate(expression, values)
    assert outcome.error is None
    assert (outcome.output_data, evaluations) == ({"v": expected}, 0)
    flow = build_flow("input>n", INPUT, transform("n", v=expression))
    assert not compiled(flow).needs_evaluator


@pytest.mark.parametrize(
    ("expression", "x", "expected"),
    [
        ("input.x + input.x", "text", "texttext"),
        ("input.x == null || true", None, True),
        ("input.x + 1", 1.5, "does not mix integers and doubles"),
        ("input.x / 0", 1, "division by zero"),
        ("input.x + 1", 2**63 - 1, "overflow"),
        ("input.y + 1", 1, "'y'"),
    ],
)
async def test_what_is_unusual_is_left_to_an_evaluator(
    expression: str, x: Any, expected: Any
) -> None:
    outcome, evaluations = await calculate(expression, {"x": x})
    assert evaluations == 1
    if outcome.error is None:
        assert outcome.output_data == {"v": expected}
    else:
        assert expected in outcome.error.message


_NUMBERS = st.one_of(st.integers(), st.floats(), st.booleans())
_OPERANDS = st.sampled_from(("a", "b", "b.c", "1", "0", "2.5", "true", "double(a)", "int(b.c)"))
_SIGNS = st.sampled_from((*"+-*/%<>", "<=", ">=", "==", "!=", "&&", "||", "? 1 :", "- -", "(", ")"))


@given(st.lists(st.one_of(_OPERANDS, _SIGNS), max_size=12), _NUMBERS, _NUMBERS)
def test_calculations_have_the_values_that_an_evaluator_returns(
    pieces: list[str], a: Any, c: Any
) -> None:
    """Of valid expressions and others, in all of which one value is of another type, too."""
    source = " ".join(pieces)
    expression = numeric_expression(source)
    assume(expression is not None)  # a bracket behind a name is a call
    assert expression is not None
    values = {"a": a, "b": {"c": c}}
    try:
        found = expression.evaluate(values)
    except NeedsEvaluatorError:
        return
    assert repr(found) == repr(compile_expression(source).evaluate(values))


@pytest.mark.parametrize(
    "source",
    [
        *("a.size()", "size(a)", "a[0]", "'1' + a", "[1]", "a in b", "{1: a}", "null == a"),
        *("double (a.b) . c", "1u", "int", "`a`", "a + " * 25 + "a", "round(1.5)", "a . b"),
        *("a.b.c(1)", "a.map(b, c)", "a['x']", "0x1f", "b'x'", 'a "x"', "doubles(1)", "1.foo"),
    ],
)
def test_other_expressions_are_no_calculations(source: str) -> None:
    assert numeric_expression(source) is None


async def test_many_calculations_of_a_node_are_left_to_an_evaluator() -> None:
    fields = {f"f{n}": "input.x * 2" for n in range(17)}
    flow = build_flow("input>n", INPUT, transform("n", **fields))
    assert compiled(flow).needs_evaluator


async def test_values_that_are_too_large_fail_the_run() -> None:
    flow = build_flow("input>size size>output", INPUT, SIZE, OUTPUT)
    outcome = await run(flow, LARGE)
    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.node_id) == ("evaluation_limit", "size")
    assert "9000021 bytes, at most 8388608" in outcome.error.message
    assert (await run(flow, {"text": "x", "other": LARGE})).error is None, "it is not read"


async def test_a_flow_can_continue_after_a_limit() -> None:
    flow = build_flow("input>size size>output", INPUT, SIZE | {"on_error": "continue"}, OUTPUT)
    assert await completed(flow, LARGE) == {"result": None}


async def test_a_missing_member_is_reported_with_the_existing_ones() -> None:
    both = transform("both", a="input.a", n="size(input.b)")
    outcome = await run(build_flow("input>both", INPUT, both), {"b": "x", "c": 1})
    assert outcome.error is not None
    assert "input has no 'a', only 'b', 'c'" in outcome.error.message


async def test_nothing_is_evaluated_after_the_end() -> None:
    processes = build_flow_processes(Settings(), ChildMetrics(Registry()))
    await processes.close()
    evaluator = processes.evaluator("a tenant")
    with pytest.raises(GatewayError) as caught:
        await evaluator.evaluate(PROGRAM, {"input": {"text": ""}}, monotonic() + TIMEOUT_SECONDS)
    assert caught.value.code == "shutting_down"


@pytest.mark.processes
async def test_a_flow_that_a_busy_host_does_not_compile_in_time_is_not_called_invalid() -> None:
    processes = build_flow_processes(Settings(), ChildMetrics(Registry()))
    try:
        with pytest.raises(GatewayError) as caught:
            await processes.evaluator("a tenant").compile(["1 + 1"], monotonic() + 0.02)
    finally:
        await processes.close()
    assert caught.value.code == "overloaded"
    assert "try again, or make it smaller" in caught.value.message


async def test_a_schema_that_is_no_longer_valid_refuses_input() -> None:
    old = json.dumps({"properties": {"x": {"pattern": "a" * 2_000}}})
    (error,) = await EVALUATOR.validate(old, b"{}", monotonic() + TIMEOUT_SECONDS)
    assert "/properties/x/pattern: expected a pattern of at most 1000" in error["detail"]
