"""Validates `input_data` against the flow's input schema."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

import orjson

from gateway.errors import GatewayError
from gateway.flows.validation import pointer_token
from protos.errors import ErrorCode

_SHOWN = 20
_OPEN_KEYWORDS = ("$ref", "$dynamicRef", "allOf", "anyOf", "oneOf", "if", "dependentSchemas")
"""Schemas with these keywords may define properties elsewhere, so no input counts as additional."""


class SchemaPort(Protocol):
    """Validates data against a JSON Schema, where it can be killed."""

    async def validate(
        self, schema: str, input_data: bytes, deadline: float
    ) -> Sequence[Mapping[str, str]]:
        """Return the errors, each with `pointer` and `detail`, before `deadline`.

        Args:
            schema: the schema, as JSON.
            input_data: the data, as JSON.
            deadline: `time.monotonic()`.

        Raises:
            GatewayError: INVALID_INPUT if it takes too much; DEADLINE_EXCEEDED.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenInput:
    """The inputs that a flow receives, as JSON."""

    json: bytes
    errors: Sequence[Mapping[str, str]] = ()
    """Inputs that it refuses, each with `pointer` and `detail`."""
    values: int = 0
    """JSON values that it was written from, counted where it is large."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSelection:
    """Which inputs one flow receives. Small, to be sent to where large inputs are parsed."""

    names: tuple[str, ...] | None
    """None: all."""
    reject: bool
    """Whether others are refused; else they are dropped."""

    def write(self, input_data: Mapping[str, Any]) -> WrittenInput:
        """Return the inputs that the flow receives (Any: JSON), without additional ones."""
        if self.names is None:
            return WrittenInput(json=orjson.dumps(input_data))
        known = {name: input_data[name] for name in self.names if name in input_data}
        refuses = self.reject and len(known) < len(input_data)
        errors = self._unknown(input_data) if refuses else ()
        return WrittenInput(json=orjson.dumps(known), errors=errors)

    def _unknown(self, input_data: Mapping[str, Any]) -> list[Mapping[str, str]]:
        names = frozenset(self.names or ())
        expected = ", ".join(f"'{one}'" for one in sorted(names))[:1_000]
        unknown = (name for name in input_data if name not in names)
        return [
            {
                "detail": f"unknown input '{name[:100]}'; expected one of {expected}",
                "pointer": f"#/input_data/{pointer_token(name)}",
            }
            for name in islice(unknown, _SHOWN)
        ]


class InputValidator:
    """Validates the input of one flow. Any: JSON."""

    def __init__(self, schema: Mapping[str, Any] | None, *, reject: bool) -> None:
        """Create one; with `reject`, inputs that the schema does not name are refused."""
        self._schema = None if schema is None else json.dumps(schema, ensure_ascii=False)
        self.selection = InputSelection(names=_known_names(schema or {}), reject=reject)

    async def validate(self, written: WrittenInput, schemas: SchemaPort, deadline: float) -> bytes:
        """Return the inputs that the flow receives, as `selection` wrote them.

        Raises:
            GatewayError: INVALID_INPUT with the first errors, each with its pointer; those of
                SchemaPort.
        """
        errors = [*written.errors]
        if self._schema is not None:
            errors += await schemas.validate(self._schema, written.json, deadline)
        if errors:
            more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
            message = f"{errors[0]['pointer']}: {errors[0]['detail']}{more}"
            raise GatewayError(ErrorCode.INVALID_INPUT, message, errors=errors)
        return written.json


def _known_names(schema: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the names of all allowed inputs, or None if the schema does not restrict them."""
    properties = schema.get("properties")
    if not isinstance(properties, dict) or any(word in schema for word in _OPEN_KEYWORDS):
        return None
    if schema.get("additionalProperties", False) is not False:
        return None
    return tuple(properties)
