"""Expressions over node ids: plain paths, which are only looked up, and all other CEL.

Pure. Everything that can be known without values is found at plan time: syntax, names of nodes and
of functions, length and depth. The rest is an `ExpressionError` at run time.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Protocol

import cel

from gateway.flows.effort import EffortError, check_effort
from gateway.flows.outline import Outline, OutlineError, outline
from gateway.flows.paths import Path, follow, parse_path

_LITERALS = frozenset({"true", "false", "null"})
TYPES = frozenset(
    {"bool", "bytes", "double", "google", "int", "list", "map", "null_type", "optional", "string"}
    | {"type", "uint"}
)
"""Names that CEL itself knows."""
_REASON = 300
_HINT = (
    "CEL keeps whole numbers and decimals apart: write double(input.x) * 2.0 where input.x may be "
    "either"
)

# What `cel` raises, and what converting deeply nested values does.
_CEL_ERRORS = (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError)

Values = Mapping[str, Any]
"""Output by node id. Any: JSON; None for a node that was skipped or has failed."""


class ExpressionError(Exception):
    """An expression that cannot be evaluated; the message names it and the reason."""


class Expression(Protocol):
    """Something to evaluate, again and again."""

    source: str
    roots: frozenset[str]
    """The nodes that it reads."""

    def evaluate(self, values: Values) -> Any:
        """Return the value (JSON, but that NaN and infinities are possible).

        Raises:
            ExpressionError: there is none.
        """
        ...


def compile_expression(source: str) -> Expression:
    """Return `source` ready to be evaluated.

    Raises:
        ExpressionError: it is no CEL, or calls a function that does not exist.
    """
    path = parse_path(source)
    if path is not None and path.node not in _LITERALS:
        return PathExpression(source, path)
    try:
        found = outline(source)
        program = cel.compile(source)
    except OutlineError as error:
        raise ExpressionError(f"'{_short(source)}': {error}") from None
    except _CEL_ERRORS as error:
        raise ExpressionError(_reason(source, error)) from None
    for name in program.functions():
        if name[0].isalpha() and not _exists(name):
            raise ExpressionError(f"'{_short(source)}': there is no function '{name}'")
    return CelExpression(source, program, found)


class PathExpression:
    """Such as `input.x`."""

    def __init__(self, source: str, path: Path) -> None:
        self.source = source
        self.roots = frozenset({path.node})
        self._path = path

    def evaluate(self, values: Values) -> Any:
        """Return the value; None where the node was skipped."""
        value = values[self._path.node]
        if value is None:
            return None
        try:
            return follow(self._path, value)
        except LookupError as error:
            raise ExpressionError(f"'{self.source}': {error.args[0]}") from None


class CelExpression:
    """Such as `size(input.x) > 3`."""

    def __init__(self, source: str, program: cel.Program, found: Outline) -> None:
        self.source = source
        self.reads = [read for read in found.reads if read.node not in TYPES]
        self.roots = frozenset(read.node for read in self.reads)
        self._program = program
        self._outline = found
        self._variables = _Variables(self.reads)

    def evaluate(self, values: Values) -> Any:
        """Return the value."""
        return self.evaluate_in(self._variables.of(values), values)

    def evaluate_in(self, context: dict[str, Any] | cel.Context, values: Values) -> Any:
        """Return the value with variables that were made ready before."""
        try:
            check_effort(self._outline, values)
            return to_json(self._program.execute(context))
        except EffortError as error:
            raise ExpressionError(f"'{_short(self.source)}': {error}") from None
        except _CEL_ERRORS as error:
            raise ExpressionError(_reason(self.source, error)) from None


class _Variables:
    """What has to be handed over to CEL, which copies it: of a large object only the members read."""

    def __init__(self, reads: Iterable[Path]) -> None:
        self._names: dict[str, set[str] | None] = {}
        for read in reads:
            names = self._names.setdefault(read.node, set())
            if not read.names:
                self._names[read.node] = None
            elif names is not None:
                names.add(read.names[0])

    def of(self, values: Values) -> dict[str, Any]:
        """Return the variables by name."""
        return {root: _part(values[root], names) for root, names in self._names.items()}


def _part(value: Any, names: set[str] | None) -> Any:
    if names is None or type(value) is not dict:
        return value
    return {name: value[name] for name in names if name in value}


class Fields:
    """Expressions by name, evaluated together: what they read is handed over to CEL once."""

    def __init__(self, expressions: Mapping[str, Expression]) -> None:
        self._expressions = expressions
        programs = [one for one in expressions.values() if isinstance(one, CelExpression)]
        reads = [read for one in programs for read in one.reads]
        self._shared = _Variables(reads) if len(programs) > 1 else None

    def evaluate(self, values: Values) -> dict[str, Any]:
        """Return the values by name.

        Raises:
            ExpressionError: for the first that has none.
        """
        if self._shared is None:
            return {name: one.evaluate(values) for name, one in self._expressions.items()}
        context = _context(self._shared.of(values))
        return {
            name: one.evaluate_in(context, values)
            if isinstance(one, CelExpression)
            else one.evaluate(values)
            for name, one in self._expressions.items()
        }


def to_json(value: Any) -> Any:
    """Return a CEL value as JSON, by the rules of protobuf's JSON: durations as `"1.5s"`, and so on.

    Raises:
        ExpressionError: it is nothing that JSON could say.
    """
    match value:
        case None | bool() | int() | float() | str():
            return value
        case list():
            return [to_json(member) for member in value]
        case dict():
            return {_key(key): to_json(member) for key, member in value.items()}
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case timedelta():
            return f"{value.total_seconds():g}s"
        case bytes():
            return base64.b64encode(value).decode()
        case cel.OptionalValue():
            return to_json(value.value()) if value.has_value() else None
        case _:
            raise ExpressionError(f"a {type(value).__name__} is nothing that JSON could say")


def number(value: Any) -> float | None:
    """Return `value` where it is a finite number (and no boolean), otherwise None."""
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    return None


def _key(key: object) -> str:
    return key if isinstance(key, str) else str(key).lower() if isinstance(key, bool) else str(key)


def _context(variables: dict[str, Any]) -> cel.Context:
    try:
        return cel.Context(variables=variables)
    except _CEL_ERRORS as error:
        raise ExpressionError(f"a value cannot be handed to CEL: {error}") from None


@cache
def _exists(function: str) -> bool:
    """Whether CEL knows the function. It keeps no list, so the function is called, with nothing."""
    try:
        cel.compile(f"{function}()").execute({})
    except _CEL_ERRORS as error:
        return "ndefined" not in str(error)
    return True


def _reason(source: str, error: Exception) -> str:
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    hint = f". {_HINT}" if "overload" in text or "Unsupported" in text else ""
    return f"'{_short(source)}': {text[:_REASON]}{hint}"


def _short(source: str) -> str:
    return source if len(source) <= _REASON else f"{source[:_REASON]}…"
