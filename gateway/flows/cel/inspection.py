"""Evaluates an expression or a template for its author: with types, steps and places. Pure.

For an evaluator: it compiles what it is given.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from gateway.flows.cel.conversion import CelValues, to_json
from gateway.flows.cel.expression import CelExpression, compile_expression
from gateway.flows.cel.library import CEL_ERRORS, compile_cel
from gateway.flows.cel.paths import Path, follow
from gateway.flows.cel.template import Template, split_template
from gateway.flows.cel.tokens import ExpressionTooLongError, Token, tokenize
from gateway.flows.cel.values import ExpressionError, NodeValues

_SYNTAX = re.compile(r"<input>:(\d+):(\d+): (?:Syntax error: )?(.*)")
_MAX_STEPS = 50
_TYPES: tuple[tuple[type, str], ...] = (
    *((bool, "bool"), (int, "int"), (float, "double"), (str, "string"), (list, "list")),
    *((dict, "map"), (datetime, "timestamp"), (timedelta, "duration"), (bytes, "bytes")),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A part with its value: a path that is read, or an expression of a template."""

    text: str
    start: int
    """Offsets in the source, in characters."""
    end: int
    value: Any
    """Any: JSON."""
    type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why there is no value."""

    message: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """The value, or why there is none, and the steps that have one."""

    value: Any = None
    type: str | None = None
    steps: tuple[Step, ...] = ()
    failure: Failure | None = None


def inspect_expression(source: str, values: NodeValues) -> Inspection:
    """Evaluate an expression, and the paths that it reads."""
    try:
        expression = compile_expression(source)
    except ExpressionError as error:
        return Inspection(failure=_syntax_failure(source, error))
    tokens = tokenize(source)
    for token in tokens:
        if token.text in expression.roots - values.keys():
            message = f"there is no value of a node '{token.text}'"
            return _failed((), message, token.start, token.end)
    steps: list[Step] = []
    lost: Failure | None = None
    for path, start, end in _paths(tokens, values):
        try:
            value = follow(path, values[path.node])
        except LookupError as error:
            lost = lost or Failure(message=str(error.args[0]), start=start, end=end)
        else:
            text = source[start:end]
            steps.append(Step(text=text, start=start, end=end, value=value, type=_type(value)))
    try:
        raw = _raw(expression, values)
        value = to_json(raw)
    except ExpressionError as error:
        reason = _without_source(str(error), source)
        place = lost or Failure(message=reason, start=0, end=len(source))
        return _failed(tuple(steps), reason, place.start, place.end)
    return Inspection(value=value, type=_type(raw), steps=tuple(steps))


def inspect_template(text: str, values: NodeValues) -> Inspection:
    """Render a template, and evaluate each of its expressions."""
    parts = split_template(text)
    steps: list[Step] = []
    at = len(parts[0])
    for source, after in zip(parts[1::2], parts[2::2], strict=True):
        start = at + len("{{")
        end = start + len(source)
        found = inspect_expression(source, values)
        if found.failure is None and found.type == "null":
            message = "the value is null: expected a value to insert"
            return _failed(tuple(steps), message, start, end)
        if found.failure is not None:
            failure = found.failure
            return _failed(
                tuple(steps), failure.message, start + failure.start, start + failure.end
            )
        if len(steps) < _MAX_STEPS:
            step = Step(
                text=source.strip(), start=start, end=end, value=found.value, type=found.type or ""
            )
            steps.append(step)
        at = end + len("}}") + len(after)
    expressions = [compile_expression(source) for source in parts[1::2]]
    try:
        value = Template(parts[::2], expressions).render(CelValues(values))
    except ExpressionError as error:
        return _failed(tuple(steps), str(error), 0, len(text))
    return Inspection(value=value, type="string", steps=tuple(steps))


def _failed(steps: tuple[Step, ...], message: str, start: int, end: int) -> Inspection:
    return Inspection(steps=steps, failure=Failure(message=message, start=start, end=end))


def _raw(expression: Any, values: NodeValues) -> Any:
    """Return the value as CEL has it (Any: one of several classes of expressions)."""
    if isinstance(expression, CelExpression):
        return expression.raw(CelValues.of(values))
    return expression.evaluate(values)


def _type(value: Any) -> str:
    if value is None:
        return "null"
    return next((name for kind, name in _TYPES if isinstance(value, kind)), type(value).__name__)


def _syntax_failure(source: str, error: ExpressionError) -> Failure:
    """Return the failure with the place that the library names."""
    message = _without_source(str(error), source)
    whole = Failure(message=message, start=0, end=len(source))
    try:
        tokenize(source)
        program = compile_cel(source)
    except ExpressionTooLongError:
        return whole
    except CEL_ERRORS as reason:
        found = _SYNTAX.search(str(reason))
        if found is None:
            return whole
        lines = source.splitlines(keepends=True) or [""]
        before = sum(len(line) for line in lines[: int(found[1]) - 1])
        start = min(before + int(found[2]) - 1, len(source))
        return Failure(message=found[3], start=start, end=min(start + 1, len(source)))
    for token in tokenize(source):  # an unknown function
        if token.text in program.functions() and f"'{token.text}'" in message:
            return Failure(message=message, start=token.start, end=token.end)
    return whole


def _without_source(message: str, source: str) -> str:
    return message.removeprefix(f"'{source}': ")


def _paths(tokens: list[Token], values: Mapping[str, Any]) -> Iterator[tuple[Path, int, int]]:
    """Yield the first plain paths that begin at a node, each once, with their offsets."""
    seen: set[Path] = set()
    at = 0
    while at < len(tokens):
        token, before = tokens[at], tokens[at - 1].text if at else ""
        at += 1
        if token.kind != "name" or before in {".", "?"} or token.text not in values:
            continue
        names: list[str] = []
        end = token.end
        while _is_member(tokens, at):
            names.append(tokens[at + 1].text)
            end = tokens[at + 1].end
            at += 2
        path = Path(node=token.text, names=tuple(names))
        if path not in seen and len(seen) < _MAX_STEPS:
            seen.add(path)
            yield path, token.start, end


def _is_member(tokens: list[Token], at: int) -> bool:
    """Whether `.name` follows, and no call."""
    after = tokens[at : at + 3]
    if [token.text for token in after[:1]] != ["."] or [one.kind for one in after[1:2]] != ["name"]:
        return False
    return [token.text for token in after[2:]] != ["("]
