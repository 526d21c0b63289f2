"""Does `input_data` fit what the flow asks for? Pure."""

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
"""Schemas with these may name properties elsewhere: nothing can be called additional."""


class SchemaError(Exception):
    """A schema that is none, or that is not taken: where, and why."""

    def __init__(self, pointer: str, detail: str) -> None:
        super().__init__(f"{pointer}: {detail}")
        self.pointer = pointer
        self.detail = detail


class InputValidator:
    """The schema of one flow's input. Any: JSON."""

    def __init__(self, schema: Mapping[str, Any] | None, *, reject: bool) -> None:
        """Compile `schema`; with `reject`, inputs that it does not name are refused.

        Raises:
            SchemaError: it is no JSON Schema, or one that is not taken here.
        """
        self._reject = reject
        self._names = _known_names(schema or {})
        self._validator: Any = None  # jsonschema.protocols.Validator, which has no types to use
        if schema is None:
            return
        # The library takes 70 ms to import, and flows without a schema, fast ones too, need none.
        from gateway.flows.json_schema import build_validator  # noqa: PLC0415

        self._validator = build_validator(schema)

    def accept(self, input_data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the inputs that the flow gets to see.

        Raises:
            GatewayError: INVALID_INPUT with all that is wrong, each with its pointer.
        """
        known = dict(input_data)
        errors: list[dict[str, str]] = []
        if self._names is not None:
            for name in input_data.keys() - self._names:
                del known[name]
                if self._reject:
                    expected = ", ".join(f"'{one}'" for one in sorted(self._names))
                    detail = f"there is no input '{name}', there is {expected}"
                    errors.append({"detail": detail, "pointer": _pointer([name])})
        if self._validator is not None:
            errors += self._complaints(known)
        if errors:
            more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
            message = f"{errors[0]['pointer']}: {errors[0]['detail']}{more}"
            raise GatewayError(ErrorCode.INVALID_INPUT, message, errors=errors)
        return known

    def _complaints(self, input_data: Mapping[str, Any]) -> list[dict[str, str]]:
        reset_budget()
        try:
            found = islice(self._validator.iter_errors(input_data), _SHOWN)
            return [_error_item(error) for error in found]
        except SchemaCostError:
            detail = f"checking it by the schema takes more than {MAX_STEPS:,} steps: send less"
            return [{"detail": detail, "pointer": _pointer(())}]
        except RecursionError:
            detail = "nested too deeply to be checked by the schema"
            return [{"detail": detail, "pointer": _pointer(())}]


def _known_names(schema: Mapping[str, Any]) -> frozenset[str] | None:
    """Return the names of all inputs that there are; None where the schema leaves that open."""
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
