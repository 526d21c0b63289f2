"""Validates `input_data` against the flow's input schema. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from gateway.errors import GatewayError
from gateway.flows.schema_cost import MAX_STEPS, SchemaCostError, reset_budget
from gateway.flows.validation import pointer_token
from protos.errors import ErrorCode

_SHOWN = 20
_OPEN_KEYWORDS = ("$ref", "$dynamicRef", "allOf", "anyOf", "oneOf", "if", "dependentSchemas")
"""Schemas with these keywords may define properties elsewhere, so no input counts as additional."""


class InputValidator:
    """Validates the input of one flow. Any: JSON."""

    def __init__(self, schema: Mapping[str, Any] | None, *, reject: bool) -> None:
        """Compile `schema`; with `reject`, inputs that it does not name are refused.

        Raises:
            InvalidSchemaError: not a JSON Schema, or one with an unsupported keyword.
        """
        self._reject = reject
        self._names = _known_names(schema or {})
        self._validator: Any = None  # jsonschema.protocols.Validator, which has no types to use
        if schema is None:
            return
        # Importing jsonschema takes 70 ms, and flows without a schema do not need it.
        from gateway.flows.json_schema import build_validator  # noqa: PLC0415

        self._validator = build_validator(schema)

    def validate(self, input_data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the inputs that the flow receives, without additional ones.

        Raises:
            GatewayError: INVALID_INPUT with all errors, each with its pointer.
        """
        known = dict(input_data)
        errors: list[dict[str, str]] = []
        if self._names is not None:
            for name in input_data.keys() - self._names:
                del known[name]
                if self._reject:
                    expected = ", ".join(f"'{one}'" for one in sorted(self._names))
                    detail = f"unknown input '{name}'; expected one of {expected}"
                    errors.append({"detail": detail, "pointer": _pointer([name])})
        if self._validator is not None:
            errors += self._schema_errors(known)
        if errors:
            more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
            message = f"{errors[0]['pointer']}: {errors[0]['detail']}{more}"
            raise GatewayError(ErrorCode.INVALID_INPUT, message, errors=errors)
        return known

    def _schema_errors(self, input_data: Mapping[str, Any]) -> list[dict[str, str]]:
        reset_budget()
        try:
            found = islice(self._validator.iter_errors(input_data), _SHOWN)
            return [_error_item(error) for error in found]
        except SchemaCostError:
            detail = f"validation takes more than {MAX_STEPS:,} steps: send less data"
            return [{"detail": detail, "pointer": _pointer(())}]
        except RecursionError:
            detail = "nested too deeply to be validated"
            return [{"detail": detail, "pointer": _pointer(())}]


def _known_names(schema: Mapping[str, Any]) -> frozenset[str] | None:
    """Return the names of all allowed inputs, or None if the schema does not restrict them."""
    properties = schema.get("properties")
    if not isinstance(properties, dict) or any(word in schema for word in _OPEN_KEYWORDS):
        return None
    if schema.get("additionalProperties", False) is not False:
        return None
    return frozenset(properties)


def _error_item(error: Any) -> dict[str, str]:
    return {"detail": error.message[:500], "pointer": _pointer(error.absolute_path)}


def _pointer(path: Any) -> str:
    return "/".join(["#/input_data", *(pointer_token(str(step)) for step in path)])
