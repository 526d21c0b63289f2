"""Values on their way into CEL and back. Pure."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

from gateway.flows.cel.ast import ExpressionAst
from gateway.flows.cel.functions import ADDED_FUNCTIONS
from gateway.flows.cel.library import CEL_ERRORS, Context, OptionalValue, Program
from gateway.flows.cel.paths import Path

CEL_TYPES = frozenset(
    {"bool", "bytes", "double", "google", "int", "list", "map", "null_type", "optional", "string"}
    | {"type", "uint"}
)
"""Names that CEL itself knows."""

NodeValues = Mapping[str, Any]
"""Output by node id. Any: JSON; None for a node that was skipped or has failed."""

Functions = Mapping[str, Callable[..., Any]]


class ExpressionError(Exception):
    """An expression that cannot be evaluated; the message names it and the reason."""


class Expression(Protocol):
    """Something to evaluate, again and again."""

    source: str
    roots: frozenset[str]
    """The nodes that it reads."""

    def evaluate(self, values: NodeValues) -> Any:
        """Return the value (JSON, but that NaN and infinities are possible).

        Raises:
            ExpressionError: there is none.
        """
        ...

    def raw(self, values: NodeValues) -> Any:
        """Return the same, but what JSON has no word for as it is, such as a datetime."""
        ...


class CelVariables:
    """What is handed over to CEL, which copies it: of a large object only the members read."""

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


def node_reads(outline: ExpressionAst) -> list[Path]:
    """Return what an expression reads of nodes."""
    return [read for read in outline.reads if read.node not in CEL_TYPES]


def functions_used(program: Program) -> Functions:
    """Return our own functions, as far as the program calls them."""
    return {name: ADDED_FUNCTIONS[name] for name in program.functions() if name in ADDED_FUNCTIONS}


def new_context(variables: dict[str, Any], functions: Functions) -> Context:
    """Hand variables over.

    Raises:
        ExpressionError: one of them is more than CEL can hold.
    """
    try:
        return Context(variables=variables, functions=dict(functions))
    except CEL_ERRORS as error:
        raise ExpressionError(f"a value cannot be handed to CEL: {error}") from None


def to_json(value: Any) -> Any:
    """Return a CEL value as JSON, by the rules of protobuf's JSON: a duration is `"1.5s"`.

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
    raise ExpressionError(f"a {type(value).__name__} is nothing that JSON could say")


def _key(key: object) -> str:
    return key if isinstance(key, str) else str(key).lower() if isinstance(key, bool) else str(key)


def finite_number(value: Any) -> float | None:
    """Return `value` where it is a finite number (and no boolean), otherwise None."""
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    return None
