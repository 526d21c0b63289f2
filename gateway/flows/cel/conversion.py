"""Converts values to CEL and back. Pure."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from gateway.flows.cel.library import ADDED_FUNCTIONS, CEL_ERRORS, Context, OptionalValue
from gateway.flows.cel.values import ExpressionError, NodeValues


class CelValues(dict[str, Any]):
    """NodeValues that are converted to CEL once, for all expressions of a node."""

    @classmethod
    def of(cls, values: NodeValues) -> CelValues:
        """Return `values` as such an object."""
        return values if isinstance(values, CelValues) else cls(values)

    @cached_property
    def context(self) -> Context:
        """The context for evaluating; raises as `new_context`."""
        return new_context(self)


def new_context(values: NodeValues) -> Context:
    """Create an evaluation context with `values` and the added functions.

    Raises:
        ExpressionError: CEL cannot represent one of the values.
    """
    try:
        return Context(variables=dict(values), functions=dict(ADDED_FUNCTIONS))
    except CEL_ERRORS as error:
        raise ExpressionError(f"a value cannot be converted to CEL: {error}", values) from None


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
