"""Converts values to CEL and back. Pure."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

from gateway.flows.cel.ast import ExpressionAst
from gateway.flows.cel.library import ADDED_FUNCTIONS, CEL_ERRORS, Context, OptionalValue, Program
from gateway.flows.cel.paths import Path

CEL_TYPES = frozenset(
    {"bool", "bytes", "double", "google", "int", "list", "map", "null_type", "optional", "string"}
    | {"type", "uint"}
)
"""Type names, which are identifiers in CEL."""

NodeValues = Mapping[str, Any]
"""Output by node id. Any: JSON; None for a node that was skipped or failed."""

Functions = Mapping[str, Callable[..., Any]]


class ExpressionError(Exception):
    """An expression that cannot be evaluated; the message names it and the reason."""


class Expression(Protocol):
    """A compiled expression: a path or a CEL program."""

    source: str
    roots: frozenset[str]
    """The ids of the nodes that it reads."""

    def evaluate(self, values: NodeValues) -> Any:
        """Return the value as JSON, in which NaN and infinities are possible.

        Raises:
            ExpressionError: the evaluation failed.
        """
        ...

    def raw(self, values: NodeValues) -> Any:
        """Return the value as CEL returns it, such as a datetime."""
        ...


class CelVariables:
    """Selects the variables of a CEL context. CEL copies them, so only members that are read."""

    def __init__(self, reads: Iterable[Path]) -> None:
        self._names: dict[str, set[str] | None] = {}
        for read in reads:
            names = self._names.setdefault(read.node, set())
            if not read.names:
                self._names[read.node] = None
            elif names is not None:
                names.add(read.names[0])

    def of(self, values: NodeValues) -> dict[str, Any]:
        """Return the variables by name."""
        return {root: _part(values[root], names) for root, names in self._names.items()}


def _part(value: Any, names: set[str] | None) -> Any:
    if names is None or type(value) is not dict:
        return value
    return {name: value[name] for name in names if name in value}


def node_reads(tree: ExpressionAst) -> list[Path]:
    """Return the paths into node outputs that an expression reads."""
    return [read for read in tree.reads if read.node not in CEL_TYPES]


def functions_used(program: Program) -> Functions:
    """Return the added functions that the program calls."""
    return {name: ADDED_FUNCTIONS[name] for name in program.functions() if name in ADDED_FUNCTIONS}


def new_context(variables: dict[str, Any], functions: Functions) -> Context:
    """Create an evaluation context.

    Raises:
        ExpressionError: CEL cannot represent one of the variables.
    """
    try:
        return Context(variables=variables, functions=dict(functions))
    except CEL_ERRORS as error:
        raise ExpressionError(f"a value cannot be converted to CEL: {error}") from None


def to_json(value: Any) -> Any:
    """Return a CEL value as JSON, in the format of protobuf: a duration is `"1.5s"`.

    Raises:
        ExpressionError: the type has no JSON form.
    """
    match value:
        case None | bool() | int() | float() | str():
            return value
        case list():
            return [to_json(member) for member in value]
        case dict():
            return {_key(key): to_json(member) for key, member in value.items()}
        case OptionalValue():
            return to_json(value.value()) if value.has_value() else None
    return _as_text(value)


def _as_text(value: object) -> str:
    match value:
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case timedelta():
            return f"{value.total_seconds():g}s"
        case bytes():
            return base64.b64encode(value).decode()
    raise ExpressionError(f"a {type(value).__name__} cannot be converted to JSON")


def _key(key: object) -> str:
    return key if isinstance(key, str) else str(key).lower() if isinstance(key, bool) else str(key)


def finite_number(value: Any) -> float | None:
    """Return `value` if it is a finite number and not a boolean, otherwise None."""
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    return None
