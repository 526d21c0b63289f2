"""Does `input_data` fit what the flow asks for? JSON Schema, compiled once. Pure.

Schemas are written by users, and what is checked by them is sent by strangers. So a reference never
leaves its schema (the library would fetch it), and patterns are matched by CEL's engine, whose time
grows with the text and no faster; Python's can be made to hang.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from jsonschema import Draft202012Validator, exceptions, validators
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from gateway.errors import GatewayError
from gateway.flows.cel_library import CEL_ERRORS, compile_cel
from gateway.flows.findings import pointer_token
from protos.errors import ErrorCode

_SHOWN = 20
_MATCH = compile_cel("text.matches(pattern)")
_OPEN = ("$ref", "$dynamicRef", "allOf", "anyOf", "oneOf", "if", "dependentSchemas")
"""Schemas with these may name properties elsewhere: nothing can be called additional."""
_ENDLESS = ("patternProperties",)


class SchemaError(Exception):
    """A schema that is none, or that is not taken: where, and why."""

    def __init__(self, pointer: str, detail: str) -> None:
        super().__init__(f"{pointer}: {detail}")
        self.pointer = pointer
        self.detail = detail


class InputCheck:
    """The schema of one flow's input. Any: JSON."""

    def __init__(self, schema: Mapping[str, Any] | None, *, reject: bool) -> None:
        """Compile `schema`; with `reject`, inputs that it does not name are refused.

        Raises:
            SchemaError: it is no JSON Schema, or one that is not taken here.
        """
        self._reject = reject
        self._names = _names(schema or {})
        self._validator: Any = None  # jsonschema.protocols.Validator, which has no types to use
        if schema is None:
            return
        _check_schema(schema)
        self._validator = _Validator(schema, registry=Registry())

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
        try:
            found = islice(self._validator.iter_errors(input_data), _SHOWN)
            return [_complaint(error) for error in found]
        except RecursionError:
            detail = "nested too deeply to be checked by the schema"
            return [{"detail": detail, "pointer": _pointer(())}]


def _names(schema: Mapping[str, Any]) -> frozenset[str] | None:
    """Return the names of all inputs that there are; None where the schema leaves that open."""
    properties = schema.get("properties")
    if not isinstance(properties, dict) or any(word in schema for word in _OPEN):
        return None
    if schema.get("additionalProperties", False) is not False:
        return None
    return frozenset(properties)


def _complaint(error: Any) -> dict[str, str]:
    return {"detail": error.message[:500], "pointer": _pointer(error.absolute_path)}


def _pointer(path: Any) -> str:
    return "/".join(["#/input_data", *(pointer_token(str(step)) for step in path)])


def _check_schema(schema: Mapping[str, Any]) -> None:
    try:
        Draft202012Validator.check_schema(schema)
    except exceptions.SchemaError as error:
        path = "".join(f"/{pointer_token(str(step))}" for step in error.absolute_path)
        raise SchemaError(path, f"no JSON Schema: {error.message[:300]}") from None
    resolver = Registry().resolver_with_root(DRAFT202012.create_resource(dict(schema)))
    for pointer, word, value in _words(schema, ""):
        if word in _ENDLESS:
            raise SchemaError(pointer, f"{word} is not offered: name the properties")
        if word == "pattern" and isinstance(value, str):
            _check_pattern(pointer, value)
        if word in {"$ref", "$dynamicRef"} and isinstance(value, str):
            if not value.startswith("#"):
                raise SchemaError(pointer, f"'{value}' leaves the schema: refer to its own $defs")
            try:
                resolver.lookup(value)
            except Unresolvable:
                raise SchemaError(pointer, f"there is no '{value}' in the schema") from None


def _words(schema: Any, pointer: str) -> Iterator[tuple[str, str, Any]]:
    """Yield each member of an object at any depth, with its pointer."""
    if isinstance(schema, list):
        for at, one in enumerate(schema):
            yield from _words(one, f"{pointer}/{at}")
    elif isinstance(schema, dict):
        for word, value in schema.items():
            place = f"{pointer}/{pointer_token(word)}"
            yield place, word, value
            yield from _words(value, place)


def _check_pattern(pointer: str, pattern: str) -> None:
    try:
        _matches(pattern, "")
    except CEL_ERRORS:
        detail = "expected a regular expression without look-around and back-references"
        raise SchemaError(pointer, f"{detail}, got '{pattern[:200]}'") from None


def _matches(pattern: str, text: str) -> bool:
    found: bool = _MATCH.execute({"pattern": pattern, "text": text})
    return found


def _pattern(_validator: Any, pattern: str, instance: Any, _schema: Any) -> Iterator[Any]:
    if isinstance(instance, str) and not _matches(pattern, instance):
        yield exceptions.ValidationError(f"{instance[:100]!r} does not match '{pattern}'")


# Any: published without types
_extend: Any = validators.extend
_Validator = _extend(Draft202012Validator, {"pattern": _pattern})
