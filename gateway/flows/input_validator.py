"""Validates `input_data` against the flow's input schema."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
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


class InputValidator:
    """Validates the input of one flow. Any: JSON."""

    def __init__(self, schema: Mapping[str, Any] | None, *, reject: bool) -> None:
        """Create one; with `reject`, inputs that the schema does not name are refused."""
        self._schema = None if schema is None else json.dumps(schema, ensure_ascii=False)
        self._reject = reject
        self._names = _known_names(schema or {})
        self._expected = ", ".join(f"'{one}'" for one in sorted(self._names or ()))[:1_000]

    def passes(self, name: str) -> bool:
        """Whether the flow receives the input `name`, if it is sent."""
        return self._names is None or name in self._names

    async def validate(
        self, input_data: Mapping[str, Any], schemas: SchemaPort, deadline: float
    ) -> bytes:
        """Return the inputs that the flow receives as JSON, without additional ones.

        Raises:
            GatewayError: INVALID_INPUT with the first errors, each with its pointer; those of
                SchemaPort.
        """
        errors: list[Mapping[str, str]] = []
        known = input_data
        if self._names is not None:
            known = {name: input_data[name] for name in self._names if name in input_data}
            if self._reject and len(known) < len(input_data):
                errors += self._unknown(input_data)
        written = orjson.dumps(known)
        if self._schema is not None:
            errors += await schemas.validate(self._schema, written, deadline)
        if errors:
            more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
            message = f"{errors[0]['pointer']}: {errors[0]['detail']}{more}"
            raise GatewayError(ErrorCode.INVALID_INPUT, message, errors=errors)
        return written

    def _unknown(self, input_data: Mapping[str, Any]) -> list[Mapping[str, str]]:
        assert self._names is not None
        unknown = (name for name in input_data if name not in self._names)
        return [
            {
                "detail": f"unknown input '{name[:100]}'; expected one of {self._expected}",
                "pointer": f"#/input_data/{pointer_token(name)}",
            }
            for name in islice(unknown, _SHOWN)
        ]


def _known_names(schema: Mapping[str, Any]) -> dict[str, None] | None:
    """Return the names of all allowed inputs, or None if the schema does not restrict them."""
    properties = schema.get("properties")
    if not isinstance(properties, dict) or any(word in schema for word in _OPEN_KEYWORDS):
        return None
    if schema.get("additionalProperties", False) is not False:
        return None
    return dict.fromkeys(properties)
